/** Runs a simulation from one seed after the other, and says how it went. */
import { Marks } from "./marks.ts";

export interface RunResult<Name extends string> {
  readonly seed: number;
  readonly profile: object;
  readonly events: number;
  readonly marks: Marks<Name>;
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly violation: Error & { readonly check: string };
  readonly trace: string;
}

/** A kind of simulated world. */
export interface Simulation<Name extends string> {
  /** The verb that runs it. */
  readonly name: string;
  readonly markNames: readonly Name[];
  runSeed(seed: number): RunResult<Name> | Promise<RunResult<Name>>;
}

export interface SeedsOptions {
  readonly from: number;
  readonly count: number;
  /** After each seed. */
  readonly onSeed?: (done: number) => void;
}

export interface SeedsResult<Name extends string> {
  readonly seeds: number;
  readonly events: number;
  readonly marks: Marks<Name>;
  /** The first seed that failed: none is run after it. */
  readonly failed: RunResult<Name> | undefined;
}

/** How many of the last events a failure shows. */
export const traceLinesMax = 600;

export async function runSeeds<Name extends string>(
  simulation: Simulation<Name>,
  { from, count, onSeed }: SeedsOptions,
): Promise<SeedsResult<Name>> {
  const marks = new Marks<Name>();
  let events = 0;
  for (let done = 1; done <= count; done += 1) {
    const result = await simulation.runSeed(from + done - 1);
    events += result.events;
    marks.addAll(result.marks);
    if (result.failure !== undefined) return { seeds: done, events, marks, failed: result };
    onSeed?.(done);
  }
  return { seeds: count, events, marks, failed: undefined };
}

export function formatSummary<Name extends string>(
  { markNames }: Simulation<Name>,
  { seeds, events, marks }: SeedsResult<Name>,
): string {
  const lines = markNames.map((name) => `  ${String(marks.count(name)).padStart(9)}  ${name}`);
  return `${seeds} seeds, ${events} events\n${lines.join("\n")}\n`;
}

/** The command that shows it again comes last: it is what one looks for. */
export function formatFailure<Name extends string>(
  { name }: Simulation<Name>,
  { seed, profile, failure }: RunResult<Name>,
): string {
  if (failure === undefined) return "";
  const { violation, trace } = failure;
  const cause = violation.cause instanceof Error ? `\n${violation.cause.stack}` : "";
  return `${trace}

seed ${seed}: ${JSON.stringify(profile)}
broken: ${violation.check}
${violation.message}${cause}

npm run -s sim -- ${name} --seed ${seed}
`;
}
