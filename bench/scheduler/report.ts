/** What the scheduler's benchmark prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import type { SchedulerTrial } from "./scheduler.ts";

/** The fields without a prefix are those of the largest size, the last one. */
export function formatSchedulerReport(trials: readonly SchedulerTrial[]): string {
  const sizes = trials.map(fieldsOf);
  const rows = sizes.map((size) => Object.values(size).map(String));
  const header = ["NODES", "TASKS", "PLACED", "MS", "PER SECOND", "LONGEST PART MS", "UNEVENNESS"];
  const line = JSON.stringify({
    bench: "scheduler",
    ...sizes.at(-1),
    growth: growthOf(trials),
    sizes,
  });
  return `${formatTable(header, rows)}\n${line}\n`;
}

function fieldsOf(trial: SchedulerTrial) {
  return {
    nodes: trial.nodes,
    tasks: trial.tasks,
    placed: trial.placed,
    ms: Math.round(trial.ms),
    placements_per_s: Math.round((trial.placed / trial.ms) * 1000),
    longest_part_ms: Math.round(trial.longestPartMs),
    unevenness: trial.unevenness,
  };
}

/** From the smallest to the largest size: how often longer it took, for each time that n log n grew. 1 and less is no worse. */
function growthOf(trials: readonly SchedulerTrial[]): number {
  const [first] = trials;
  const last = trials.at(-1);
  if (first === undefined || last === undefined) return 1;
  const expected = nLogN(last.tasks) / nLogN(first.tasks);
  return Math.round((last.ms / first.ms / expected) * 100) / 100;
}

function nLogN(n: number): number {
  return n * Math.log2(Math.max(n, 2));
}
