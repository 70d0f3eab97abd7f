/** Runs seeds and says how it went. */
import { Marks, markNames } from "./marks.ts";
import { type RunResult, runSeed } from "./simulation.ts";

const traceLinesMax = 600;

interface SeedsOptions {
  readonly from: number;
  readonly count: number;
  /** After each seed. */
  readonly onSeed?: (done: number) => void;
}

interface SeedsResult {
  readonly seeds: number;
  readonly events: number;
  readonly entries: number;
  readonly marks: Marks;
  /** The first seed that failed: none is run after it. */
  readonly failed: RunResult | undefined;
}

export async function runSeeds({ from, count, onSeed }: SeedsOptions): Promise<SeedsResult> {
  const marks = new Marks();
  let events = 0;
  let entries = 0;
  for (let done = 1; done <= count; done += 1) {
    const result = await runSeed(from + done - 1, traceLinesMax);
    events += result.events;
    entries += result.entries;
    marks.addAll(result.marks);
    if (result.failure !== undefined)
      return { seeds: done, events, entries, marks, failed: result };
    onSeed?.(done);
  }
  return { seeds: count, events, entries, marks, failed: undefined };
}

export function formatSummary({ seeds, events, entries, marks }: SeedsResult): string {
  const lines = markNames.map((name) => `  ${String(marks.count(name)).padStart(9)}  ${name}`);
  return `${seeds} seeds, ${events} events, ${entries} entries\n${lines.join("\n")}\n`;
}

/** The command that shows it again comes last: it is what one looks for. */
export function formatFailure({ seed, profile, failure }: RunResult): string {
  if (failure === undefined) return "";
  const { violation, trace } = failure;
  const cause = violation.cause instanceof Error ? `\n${violation.cause.stack}` : "";
  return `${trace}

seed ${seed}: ${JSON.stringify(profile)}
broken: ${violation.check}
${violation.message}${cause}

npm run -s sim -- cluster --seed ${seed}
`;
}
