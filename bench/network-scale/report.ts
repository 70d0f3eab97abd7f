/** What the benchmark of large networks prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import type { Cost, NetworkScale } from "./network-scale.ts";

const events = [
  ["all nodes join, one by one", "joining"],
  ["a task moves", "taskMoves"],
  ["a node goes down", "nodeGoesDown"],
  ["a node joins", "nodeJoins"],
] as const;

export function formatNetworkScaleReport(scales: readonly NetworkScale[]): string {
  const rows = scales.flatMap((scale) =>
    events.map(([what, name]) => [
      `${scale.nodes} × ${scale.tasks}`,
      what,
      String(scale[name].messages),
      bytesOf(scale[name].bytes),
      bytesOf(scale[name].bytes / scale.nodes),
      `${scale[name].cpuMs.toFixed(0)} ms`,
      `${scale[name].wallMs.toFixed(0)} ms`,
    ]),
  );
  const header = ["NODES × TASKS", "EVENT", "MESSAGES", "BYTES", "PER NODE", "CPU", "ALL HAVE IT"];
  return `${formatTable(header, rows)}\n${JSON.stringify(resultOf(scales))}\n`;
}

function resultOf(scales: readonly NetworkScale[]) {
  return {
    bench: "network-scale",
    bytes_per_endpoint: Math.round(scales.at(-1)?.bytesPerEndpoint ?? Number.NaN),
    rss_mb: Math.round(Math.max(...scales.map(({ rssMb }) => rssMb))),
    sizes: scales.map((scale) => ({
      nodes: scale.nodes,
      tasks: scale.tasks,
      joining: rounded(scale.joining),
      task_moves: rounded(scale.taskMoves),
      node_goes_down: rounded(scale.nodeGoesDown),
      node_joins: rounded(scale.nodeJoins),
    })),
  };
}

function rounded({ messages, bytes, cpuMs, wallMs }: Cost) {
  return { messages, bytes, cpu_ms: Math.round(cpuMs), wall_ms: Math.round(wallMs) };
}

function bytesOf(bytes: number): string {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(1)} kB` : `${bytes.toFixed(0)} B`;
}
