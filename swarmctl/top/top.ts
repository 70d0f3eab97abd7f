import type { Command } from "commander";
import { Option } from "commander";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { durationMs, flag } from "../flags/parse-flag.ts";
import { liveLines } from "../output/live-lines.ts";
import { type Format, listFormatOption } from "../output/format.ts";
import { printListing } from "../output/listing.ts";
import { taskName } from "../service/words.ts";
import { nodeRows, sortRows, sortWords, type TaskRow, usageOf } from "./sample.ts";
import { NodeWatch } from "./watch-nodes.ts";
import { taskColumns, topText } from "./words.ts";

interface Options {
  /** Commander's form of --no-stream. */
  readonly stream: boolean;
  readonly sort: string;
  readonly node?: string;
  readonly service?: string;
  readonly interval: number;
  readonly format: Format;
}

/** What a rate is taken over where one picture is all that is wanted. */
const onceIntervalMs = 1_000;

export function define(command: Command, context: Context): void {
  command
    .option("--no-stream", "print once and end")
    .addOption(
      new Option("--sort <column>", "largest first; names from a")
        .choices(sortWords)
        .default("cpu"),
    )
    .option("--node <node>", "only the tasks of this node")
    .option("--service <service>", "only the tasks of this service")
    .addOption(
      new Option("--interval <duration>", "between two pictures")
        .argParser(flag(durationMs))
        .default(2_000, "2s"),
    )
    .option("-a, --all", "for Docker's users: a task that does not run uses nothing")
    .option("--no-trunc", "for Docker's users: names are shown in full anyway")
    .addOption(listFormatOption())
    .action((options: Options) => top(context, options));
}

async function top(context: Context, options: Options): Promise<void> {
  const { io } = context;
  const control = await context.control();
  const names = new TaskNames(control, options.service);
  await names.refresh();
  const nodes = await readyNodes(control, options.node);
  const ending = new AbortController();
  const signal = AbortSignal.any([io.signal, ending.signal]);
  const intervalMs = options.stream ? options.interval : Math.min(options.interval, onceIntervalMs);
  const watch = new NodeWatch(context, { nodes, intervalMs });
  const running = watch.run(signal);
  const show = printer(context, options);
  try {
    await Promise.race([watch.complete, running]);
    show(rowsOf(watch, names, options.sort));
    while (options.stream && !signal.aborted && watch.samples.size > 0) {
      await io.clock.sleep(intervalMs, signal).catch(() => undefined);
      if (signal.aborted) break;
      await names.refresh();
      show(rowsOf(watch, names, options.sort));
    }
  } finally {
    ending.abort();
    await running;
  }
}

function rowsOf(watch: NodeWatch, names: TaskNames, sort: string): TaskRow[] {
  const rows: TaskRow[] = [];
  for (const [node, samples] of watch.samples) {
    for (const stats of samples.last.tasks) {
      const name = names.nameOf(stats.taskId);
      if (name === undefined) continue;
      const place = { id: stats.taskId, name, node: node.description?.hostname || node.id };
      rows.push({ ...place, ...usageOf(stats, samples) });
    }
  }
  return sortRows(rows, sort);
}

function printer(context: Context, { format, stream }: Options): (rows: TaskRow[]) => void {
  const { io } = context;
  if (typeof format === "object") {
    return (items) =>
      printListing(context, { format }, { items, id: ({ id }) => id, columns: taskColumns });
  }
  if (format === "json") {
    return (tasks) => io.stdout.write(`${JSON.stringify({ nodes: nodeRows(tasks), tasks })}\n`);
  }
  if (!stream || !io.stdout.isTTY)
    return (tasks) => io.stdout.write(topText(nodeRows(tasks), tasks));
  const live = liveLines(io.stdout);
  return (tasks) => live(topText(nodeRows(tasks), tasks).trimEnd().split("\n"));
}

async function readyNodes(control: ControlClient, ref: string | undefined): Promise<Node[]> {
  if (ref !== undefined) {
    const { node } = await control.getNode({ ref });
    return node === undefined ? [] : [node];
  }
  const { nodes } = await control.listNodes({});
  return nodes.filter(({ status }) => status?.state === NodeState.READY);
}

/** What the tasks are called, and with a service those of it alone. Tasks come and go while somebody watches. */
class TaskNames {
  readonly #control: ControlClient;
  readonly #serviceRef: string | undefined;
  #names: ReadonlyMap<string, string> = new Map();

  constructor(control: ControlClient, serviceRef: string | undefined) {
    this.#control = control;
    this.#serviceRef = serviceRef;
  }

  async refresh(): Promise<void> {
    const serviceRef = this.#serviceRef ?? "";
    const { tasks } = await this.#control.listTasks({ serviceRef, runningOnly: true });
    this.#names = new Map(tasks.map((task) => [task.id, taskName(task)]));
  }

  nameOf(taskId: string): string | undefined {
    const name = this.#names.get(taskId);
    // A task that is not listed is on its way out; with a service it is likely another's.
    return name ?? (this.#serviceRef === undefined ? taskId : undefined);
  }
}
