/** The table of tasks, of a service, a stack or the whole cluster. */
import type { Command } from "commander";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { formatAgo } from "../output/age.ts";
import { addFilterFlag, type FilterFlag } from "../output/filter.ts";
import {
  addListingFlags,
  type Column,
  type ListingOptions,
  printListing,
  shortId,
} from "../output/listing.ts";
import { truncate } from "../output/table.ts";
import { taskPortsWord } from "../service/words.ts";
import { type TaskRow, taskRows } from "./rows.ts";
import { taskStateWord } from "./state-words.ts";
import { filterTasks, taskFilterKeys } from "./task-filter.ts";

export interface TaskListingOptions extends ListingOptions, FilterFlag {
  /** Commander's form of --no-trunc. */
  readonly trunc: boolean;
  /** Commander's form of --no-resolve. */
  readonly resolve: boolean;
}

const errorWidthMax = 30;

export function addTaskListingFlags(command: Command): Command {
  return addFilterFlag(addListingFlags(command), taskFilterKeys)
    .option("--no-trunc", "show IDs and errors in full")
    .option("--no-resolve", "show IDs in place of names");
}

export async function printTasks(
  context: Context,
  control: ControlClient,
  tasks: readonly Task[],
  options: TaskListingOptions,
): Promise<void> {
  const { format, quiet, resolve, trunc } = options;
  const isNamed = (resolve && !quiet) || options.filter !== undefined;
  const hostnames = isNamed ? await hostnamesOf(control) : new Map<string, string>();
  const wanted = filterTasks(tasks, options, hostnames);
  const rows = taskRows(wanted);
  const shown = resolve ? hostnames : new Map<string, string>();
  const isTable = format === "table" || (typeof format === "object" && format.isTable);
  const nowMs = context.io.clock.now();
  printListing(context, options, {
    items: rows,
    id: (row) => row.task.id,
    columns: columns(rows, { hostnames: shown, resolve, trunc, isTable, nowMs }),
  });
}

export async function hostnamesOf(control: ControlClient): Promise<ReadonlyMap<string, string>> {
  const { nodes } = await control.listNodes({});
  return new Map(nodes.map((node) => [node.id, node.description?.hostname || node.id]));
}

interface View {
  readonly hostnames: ReadonlyMap<string, string>;
  readonly resolve: boolean;
  readonly trunc: boolean;
  /** Where what was before stands below what is. */
  readonly isTable: boolean;
  readonly nowMs: number;
}

function columns(
  rows: readonly TaskRow[],
  { hostnames, resolve, trunc, isTable, nowMs }: View,
): Column<TaskRow>[] {
  const runs = rows.filter(({ run }) => run !== undefined);
  const runOf = ({ run, task }: TaskRow) => `${task.serviceId} ${run?.iteration}`;
  const hasRuns =
    new Set(runs.map(runOf)).size > new Set(runs.map(({ task }) => task.serviceId)).size;
  return [
    { title: "ID", of: ({ task }) => (trunc ? shortId(task.id) : task.id) },
    {
      title: "NAME",
      of: (row) =>
        `${row.past && isTable ? " \\_ " : ""}${resolve ? row.name : nameById(row.task)}`,
    },
    ...(hasRuns ? [{ title: "RUN", of: ({ run }: TaskRow) => runWord(run, nowMs) }] : []),
    { title: "IMAGE", of: ({ image }) => image },
    { title: "NODE", of: ({ task }) => hostnames.get(task.nodeId) ?? task.nodeId },
    { title: "DESIRED STATE", of: ({ desired }) => taskStateWord(desired) },
    {
      title: "CURRENT STATE",
      of: ({ state, sinceMs }) => `${taskStateWord(state)} ${formatAgo(sinceMs, nowMs)}`,
    },
    { title: "ERROR", of: ({ error }) => errorWord(error, trunc) },
    { title: "PORTS", of: ({ task, past }) => (past ? "" : taskPortsWord(task)) },
  ];
}

function nameById({ serviceId, slot, nodeId }: Task): string {
  return `${serviceId}.${slot === 0n ? nodeId : slot}`;
}

function runWord(run: TaskRow["run"], nowMs: number): string {
  return run === undefined ? "" : formatAgo(run.sinceMs, nowMs);
}

function errorWord(error: string, trunc: boolean): string {
  if (error === "") return "";
  return `"${trunc ? truncate(error, errorWidthMax) : error}"`;
}
