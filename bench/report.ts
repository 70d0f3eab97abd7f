/** What a benchmark prints: a table for people, and as the last line one JSON object for programs. */
import { formatTable } from "#swarmctl/output/table.ts";
import { type Metric, medianMs, ratioOf, type Samples } from "./samples.ts";

/** `settings` are what was measured with; they come first in the JSON object. */
export function formatReport(
  settings: Readonly<Record<string, unknown>>,
  metrics: readonly Metric[],
): string {
  const fields = metrics.flatMap(fieldsOf);
  const line = JSON.stringify({ ...settings, ...Object.fromEntries(fields) });
  return `${tableOf(metrics)}\n${line}\n`;
}

function fieldsOf({ fields, samples }: Metric): readonly (readonly [string, number])[] {
  const ours = [fields.ours, medianMs(samples.ours)] as const;
  const ratio = ratioOf(samples);
  if (samples.peer === undefined || ratio === undefined) return [ours];
  return [ours, [fields.peer, medianMs(samples.peer)], [fields.ratio, ratio]];
}

function tableOf(metrics: readonly Metric[]): string {
  const withPeer = metrics.some(({ samples }) => samples.peer !== undefined);
  const header = withPeer
    ? ["MEDIAN", "OURS", "PEER", "RATIO", "OURS EACH", "PEER EACH"]
    : ["MEDIAN", "OURS", "OURS EACH"];
  const rows = metrics.map(({ title, samples }) => [title, ...cellsOf(samples)]);
  return formatTable(header, rows);
}

function cellsOf(samples: Samples): readonly string[] {
  const { ours, peer } = samples;
  if (peer === undefined) return [`${medianMs(ours)} ms`, each(ours)];
  const ratio = ratioOf(samples)?.toFixed(2) ?? "";
  return [`${medianMs(ours)} ms`, `${medianMs(peer)} ms`, ratio, each(ours), each(peer)];
}

function each(samples: readonly number[]): string {
  return samples.map((sample) => sample.toFixed(0)).join(" ");
}
