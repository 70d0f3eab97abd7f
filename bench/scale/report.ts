/** What the benchmark prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import { percentile } from "../samples.ts";
import type { ScaleOptions, ScaleResult } from "./scale.ts";

export type ScaleSettings = Pick<ScaleOptions, "nodes" | "tasks" | "services" | "managers">;

export function formatScaleReport(settings: ScaleSettings, result: ScaleResult): string {
  const { scheduledMs, runningMs, apiMs, managerRssMb } = result;
  const values = {
    all_scheduled_ms: Math.round(scheduledMs),
    all_running_ms: Math.round(runningMs),
    tasks_per_s: Math.round((settings.tasks * 1000) / runningMs),
    api_calls: apiMs.length,
    api_p50_ms: Math.round(percentile(apiMs, 0.5) * 10) / 10,
    api_p99_ms: Math.round(percentile(apiMs, 0.99) * 10) / 10,
    manager_rss_mb: Math.round(Math.max(...managerRssMb)),
  };
  const rows = [
    ["nodes have all tasks", `${values.all_scheduled_ms} ms`],
    ["all tasks run", `${values.all_running_ms} ms`],
    ["tasks per second", String(values.tasks_per_s)],
    ["control API meanwhile, p50", `${values.api_p50_ms} ms`],
    ["control API meanwhile, p99", `${values.api_p99_ms} ms`],
    ["the largest manager's memory", `${values.manager_rss_mb} MB`],
  ];
  const line = JSON.stringify({ bench: "scale", ...settings, ...values });
  return `${formatTable(["SCALE", "MEASURED"], rows)}\n${line}\n`;
}
