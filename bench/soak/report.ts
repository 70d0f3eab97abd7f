/** What the soak prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import type { SoakResult } from "./soak.ts";

export interface SoakSettings {
  readonly agents: number;
  readonly minutes: number;
}

/** The fields without a prefix are those of the managers' processes, in the hosts' order. */
export function formatSoakReport(settings: SoakSettings, result: SoakResult): string {
  const rows = result.processes.map(({ host, program, summary }) => [
    host,
    program,
    summary.cpuPercent.toFixed(2),
    Math.max(...summary.cpuPercentEach).toFixed(2),
    summary.rssMbStart.toFixed(1),
    summary.rssMbEnd.toFixed(1),
    summary.rssMbPerHour.toFixed(1),
  ]);
  const header = ["HOST", "PROGRAM", "CPU %", "BUSIEST MINUTE", "RSS MB", "AT THE END", "PER HOUR"];
  const line = JSON.stringify({
    bench: "soak",
    ...settings,
    ...fields(result, "manager"),
    swarmd: fields(result, "swarmd"),
    leader: result.leader,
    sessions: result.sessions,
    sessions_opened_again: result.openedAgain,
  });
  return `${formatTable(header, rows)}\n${line}\n`;
}

function fields({ processes }: SoakResult, of: "manager" | "swarmd") {
  const summaries = processes.filter(({ program }) => program === of).map(({ summary }) => summary);
  const cpuPercent = summaries.map((summary) => rounded(summary.cpuPercent));
  return {
    cpu_percent: cpuPercent,
    cpu_percent_max: Math.max(...cpuPercent),
    rss_mb_start: summaries.map(({ rssMbStart }) => rounded(rssMbStart)),
    rss_mb_end: summaries.map(({ rssMbEnd }) => rounded(rssMbEnd)),
    rss_growth_mb_per_hour: summaries.map(({ rssMbPerHour }) => rounded(rssMbPerHour)),
  };
}

function rounded(number: number): number {
  return Math.round(number * 100) / 100;
}
