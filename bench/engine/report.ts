/** What the benchmark of the engine prints: tables for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import { formatReport } from "../report.ts";
import { medianOf } from "../samples.ts";
import type { EngineResult } from "./engine.ts";

export function formatEngineReport({ metrics, pullDelay, steps }: EngineResult): string {
  const rows = [...steps].map(([state, times]) => [
    state,
    `${medianOf(times)} ms`,
    times.map((time) => time.toFixed(0)).join(" "),
  ]);
  const { p50Ms, p99Ms, maxMs } = pullDelay;
  const rounded = (ms: number) => Math.round(ms * 10) / 10;
  const delay = { pull_delay_p50_ms: rounded(p50Ms), pull_delay_p99_ms: rounded(p99Ms) };
  const settings = { bench: "engine", ...delay, pull_delay_max_ms: rounded(maxMs) };
  return `${formatTable(["TASK IS", "AFTER", "EACH"], rows)}\n${formatReport(settings, metrics)}`;
}
