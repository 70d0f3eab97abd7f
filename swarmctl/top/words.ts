/** Rows of numbers as people read them, in Docker's columns. Pure. */
import type { Column } from "../output/listing.ts";
import { formatMemory, formatTraffic } from "../output/size.ts";
import { formatTable } from "../output/table.ts";
import type { NodeRow, TaskRow, Usage } from "./sample.ts";

const titles = [
  "CPU %",
  "MEM USAGE / LIMIT",
  "MEM %",
  "NET I/O",
  "BLOCK I/O",
  "PIDS",
  "RESTARTS",
] as const;

export function topText(nodes: readonly NodeRow[], tasks: readonly TaskRow[]): string {
  const ofNodes = nodes.map((row) => [row.name, `${row.tasks}`, ...cellsOf(row)]);
  const ofTasks = tasks.map((row) => [row.name, row.node, ...cellsOf(row)]);
  const summary = formatTable(["NODE", "TASKS", ...titles], ofNodes);
  return `${summary}\n${formatTable(["NAME", "NODE", ...titles], ofTasks)}`;
}

/** Docker's names of the columns, for templates. */
export const taskColumns: readonly Column<TaskRow>[] = [
  { title: "ID", of: ({ id }) => id },
  { title: "CONTAINER", of: ({ id }) => id },
  { title: "NAME", of: ({ name }) => name },
  { title: "NODE", of: ({ node }) => node },
  ...["CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs", "Restarts"].map(
    (field, index): Column<TaskRow> => ({
      title: titles[index] ?? "",
      field,
      of: (row) => cellsOf(row)[index] ?? "",
    }),
  ),
];

function cellsOf(row: Usage): string[] {
  const share = row.memoryLimitBytes > 0 ? (100 * row.memoryBytes) / row.memoryLimitBytes : 0;
  return [
    `${row.cpuPercent.toFixed(2)}%`,
    `${formatMemory(row.memoryBytes)} / ${formatMemory(row.memoryLimitBytes)}`,
    `${share.toFixed(2)}%`,
    `${formatTraffic(row.networkReceivedBytes)} / ${formatTraffic(row.networkSentBytes)}`,
    `${formatTraffic(row.blockReadBytes)} / ${formatTraffic(row.blockWrittenBytes)}`,
    `${row.pids}`,
    `${row.restarts}`,
  ];
}
