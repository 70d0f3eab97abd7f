/** Rows of numbers as people read them, in Docker's columns. Pure. */
import type { Column } from "../output/listing.ts";
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
    `${binarySize(row.memoryBytes)} / ${binarySize(row.memoryLimitBytes)}`,
    `${share.toFixed(2)}%`,
    `${decimalSize(row.networkReceivedBytes)} / ${decimalSize(row.networkSentBytes)}`,
    `${decimalSize(row.blockReadBytes)} / ${decimalSize(row.blockWrittenBytes)}`,
    `${row.pids}`,
    `${row.restarts}`,
  ];
}

interface SizeStyle {
  readonly base: number;
  readonly units: readonly string[];
  readonly digits: number;
}

/** Docker's: memory in powers of 1024 with four digits, traffic in powers of 1000 with three. */
const binary = { base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB"], digits: 4 };
const decimal = { base: 1000, units: ["B", "kB", "MB", "GB", "TB"], digits: 3 };

const binarySize = (bytes: number) => sizeText(bytes, binary);
const decimalSize = (bytes: number) => sizeText(bytes, decimal);

function sizeText(bytes: number, { base, units, digits }: SizeStyle): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= base && unit < units.length - 1) {
    amount /= base;
    unit += 1;
  }
  return `${Number(amount.toPrecision(digits))}${units[unit]}`;
}
