/** Runs seeds and says how it went. */
import type { MakeCore } from "./core.ts";
import { Marks, markNames } from "./marks.ts";
import { type RunResult, runSeed } from "./simulation.ts";

const traceLinesMax = 400;

interface SeedsOptions {
  readonly makeCore: MakeCore;
  readonly from: number;
  readonly count: number;
  /** After each seed. */
  readonly onSeed?: (done: number) => void;
}

interface SeedsResult {
  readonly seeds: number;
  readonly events: number;
  readonly marks: Marks;
  /** The first seed that failed: none is run after it. */
  readonly failed: RunResult | undefined;
}

export function runSeeds(options: SeedsOptions): SeedsResult {
  const marks = new Marks();
  let events = 0;
  for (let done = 0; done < options.count; done += 1) {
    const seed = options.from + done;
    const result = runSeed(seed, { makeCore: options.makeCore, traceLines: traceLinesMax });
    events += result.events;
    marks.addAll(result.marks);
    if (result.failure !== undefined) return { seeds: done + 1, events, marks, failed: result };
    options.onSeed?.(done + 1);
  }
  return { seeds: options.count, events, marks, failed: undefined };
}

export function formatSummary({ seeds, events, marks }: SeedsResult): string {
  const lines = markNames.map((name) => `  ${String(marks.count(name)).padStart(9)}  ${name}`);
  return `${seeds} seeds, ${events} events\n${lines.join("\n")}\n`;
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

npm run -s sim -- raft --seed ${seed}
`;
}
