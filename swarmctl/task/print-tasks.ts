/** The table of tasks, of a service, a stack or the whole cluster. */
import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { formatAgo } from "../output/age.ts";
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

export interface TaskListingOptions extends ListingOptions {
  /** Commander's form of --no-trunc. */
  readonly trunc: boolean;
}

const errorWidthMax = 30;

export function addTaskListingFlags(command: Command): Command {
  return addListingFlags(command).option("--no-trunc", "show IDs and errors in full");
}

export async function printTasks(
  context: Context,
  control: ControlClient,
  tasks: readonly Task[],
  options: TaskListingOptions,
): Promise<void> {
  if (options.format === "json") {
    const listing = {
      items: tasks,
      id: idOf,
      columns: [],
      json: (task: Task) => toJson(TaskSchema, task),
    };
    printListing(context, options, listing);
    return;
  }
  const hostnames = options.quiet ? new Map() : await hostnamesOf(control);
  printListing(context, options, {
    items: taskRows(tasks),
    id: (row) => row.task.id,
    columns: columns({ hostnames, trunc: options.trunc, nowMs: context.io.clock.now() }),
    json: (row) => toJson(TaskSchema, row.task),
  });
}

export async function hostnamesOf(control: ControlClient): Promise<ReadonlyMap<string, string>> {
  const { nodes } = await control.listNodes({});
  return new Map(nodes.map((node) => [node.id, node.description?.hostname || node.id]));
}

interface View {
  readonly hostnames: ReadonlyMap<string, string>;
  readonly trunc: boolean;
  readonly nowMs: number;
}

function columns({ hostnames, trunc, nowMs }: View): Column<TaskRow>[] {
  return [
    { title: "ID", of: ({ task }) => (trunc ? shortId(task.id) : task.id) },
    { title: "NAME", of: ({ name, past }) => (past ? ` \\_ ${name}` : name) },
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

function errorWord(error: string, trunc: boolean): string {
  if (error === "") return "";
  return `"${trunc ? truncate(error, errorWidthMax) : error}"`;
}

const nameOfState = new Map<TaskState, string>(
  Object.entries(TaskState).map(([name, state]) => [state, name]),
);

/** "Running" */
export function taskStateWord(state: TaskState): string {
  const name = nameOfState.get(state) ?? "UNKNOWN";
  return name.slice(0, 1) + name.slice(1).toLowerCase();
}

function idOf(task: Task): string {
  return task.id;
}
