/** What a benchmark prints: a table for people, and as the last line one JSON object for programs. */
import { formatTable } from "#swarmctl/output/table.ts";
import { type Metric, medianOf, ratioOf, type Samples, type Unit } from "./samples.ts";

/** `settings` are what was measured with; they come first in the JSON object. */
export function formatReport(
  settings: Readonly<Record<string, unknown>>,
  metrics: readonly Metric[],
): string {
  const fields = metrics.flatMap(fieldsOf);
  const line = JSON.stringify({ ...settings, ...Object.fromEntries(fields) });
  return `${tableOf(metrics)}\n${line}\n`;
}

function fieldsOf({ fields, samples, unit }: Metric): readonly (readonly [string, number])[] {
  const ours = [fields.ours, medianOf(samples.ours, unit)] as const;
  const ratio = ratioOf(samples);
  if (samples.peer === undefined || ratio === undefined) return [ours];
  return [ours, [fields.peer, medianOf(samples.peer, unit)], [fields.ratio, ratio]];
}

function tableOf(metrics: readonly Metric[]): string {
  const withPeer = metrics.some(({ samples }) => samples.peer !== undefined);
  const header = withPeer
    ? ["MEDIAN", "OURS", "PEER", "RATIO", "OURS EACH", "PEER EACH"]
    : ["MEDIAN", "OURS", "OURS EACH"];
  const rows = metrics.map(({ title, samples, unit }) => {
    const cells = cellsOf(samples, unit);
    // What has no peer has nothing below its columns.
    const [middle = "", each = ""] = cells;
    const isAlone = withPeer && samples.peer === undefined;
    return [title, ...(isAlone ? [middle, "", "", each] : cells)];
  });
  return formatTable(header, rows);
}

function cellsOf(samples: Samples, unit: Unit = "ms"): readonly string[] {
  const { ours, peer } = samples;
  const cell = (of: readonly number[]) => `${medianOf(of, unit)} ${unit}`;
  const each = (of: readonly number[]) => of.map((sample) => medianOf([sample], unit)).join(" ");
  if (peer === undefined) return [cell(ours), each(ours)];
  const ratio = ratioOf(samples)?.toFixed(2) ?? "";
  return [cell(ours), cell(peer), ratio, each(ours), each(peer)];
}
