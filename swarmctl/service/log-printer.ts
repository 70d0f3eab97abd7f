/**
 * Log lines as Docker prints them: `web.1.<task ID>@host    | line`, stderr's to stderr. What a line's task and node are
 * called is looked up when an ID is seen for the first time. The lines' bytes are written as they are.
 */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Fault } from "#proto/fault.ts";
import {
  type LogMessage,
  LogStream,
  type SubscribeLogsResponse,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { parseLogDriver } from "#proto/log-driver.ts";
import { complain } from "../complain.ts";
import type { ControlClient } from "../context.ts";
import type { Io, Output } from "../io.ts";
import { hostnamesOf } from "../task/print-tasks.ts";
import { taskName } from "./words.ts";

export interface LogPrinterOptions {
  readonly follow?: true;
  readonly timestamps?: true;
  readonly raw?: true;
  readonly details?: true;
  /** Commander's form of --no-task-ids, --no-resolve and --no-trunc. */
  readonly taskIds: boolean;
  readonly resolve: boolean;
  readonly trunc: boolean;
}

/** How much of a task's ID people see. */
const shortIdLength = 12;

/** Of a terminal: each task's name has one of these. */
const colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

interface Words {
  /** Before each line of the task's. */
  readonly prefix: string;
  readonly details: string;
}

export class LogPrinter {
  readonly #io: Io;
  readonly #control: ControlClient;
  readonly #options: LogPrinterOptions;
  readonly #words = new Map<string, Words>();
  readonly #warnings = new Set<string>();
  #hostnames: ReadonlyMap<string, string> = new Map();

  constructor(io: Io, control: ControlClient, options: LogPrinterOptions) {
    this.#io = io;
    this.#control = control;
    this.#options = options;
  }

  /**
   * What stands together in a reply and goes to the same place is written at once: a busy log has many lines. Resolves when
   * it is taken: what a slow reader has not read waits at the nodes, and not in the memory here.
   */
  async print(reply: SubscribeLogsResponse): Promise<void> {
    let output: Output = this.#io.stdout;
    let bytes: Uint8Array[] = [];
    const write = async () => {
      const data = Buffer.concat(bytes);
      bytes = [];
      if (data.length > 0) await new Promise<void>((done) => output.write(data, () => done()));
    };
    for (const message of reply.messages) {
      const toStderr = message.stream === LogStream.STDERR || message.dropped;
      const next = toStderr ? this.#io.stderr : this.#io.stdout;
      if (next !== output) await write();
      output = next;
      bytes.push(...(await this.#bytesOf(message)));
    }
    await write();
    for (const warning of reply.warnings) this.#onWarning(warning);
  }

  /** Who follows may never come to an end: it is said at once. */
  #onWarning(warning: string): void {
    if (this.#options.follow) complain(this.#io, warning);
    else this.#warnings.add(warning);
  }

  finish(): void {
    if (this.#warnings.size === 0) return;
    throw new Fault("unavailable", `The log is incomplete: ${[...this.#warnings].join("; ")}`);
  }

  async #bytesOf(message: LogMessage): Promise<readonly Uint8Array[]> {
    const { raw, details } = this.#options;
    const words = raw && !details && !message.dropped ? undefined : await this.#wordsOf(message);
    // What is missing is said with the task's name also where lines have none.
    const prefix = raw && !message.dropped ? "" : (words?.prefix ?? "");
    const shown = details && words !== undefined ? `${words.details} ` : "";
    const head = Buffer.from(`${this.#time(message)}${prefix}${shown}`);
    // A line without an end stays one where nothing stands before the next.
    const end = message.partial && raw ? "" : "\n";
    return [head, message.data, Buffer.from(end)];
  }

  #time({ timestamp }: LogMessage): string {
    if (!this.#options.timestamps || timestamp === undefined) return "";
    const [date] = timestampDate(timestamp).toISOString().split(".");
    return `${date}.${String(timestamp.nanos).padStart(9, "0")}Z `;
  }

  async #wordsOf({ taskId, nodeId }: LogMessage): Promise<Words> {
    const known = this.#words.get(taskId);
    if (known !== undefined) return known;
    const task = await this.#task(taskId);
    const name = `${this.#taskName(taskId, task)}@${await this.#nodeName(nodeId)}`;
    const words = {
      prefix: this.#coloured(`${name.padEnd(36)} | `),
      details: detailsOf(task, nodeId),
    };
    this.#words.set(taskId, words);
    return words;
  }

  #taskName(taskId: string, task: Task | undefined): string {
    const { taskIds, resolve, trunc } = this.#options;
    const id = trunc ? taskId.slice(0, shortIdLength) : taskId;
    if (task === undefined || !resolve) return id;
    return taskIds ? `${taskName(task)}.${id}` : taskName(task);
  }

  async #nodeName(nodeId: string): Promise<string> {
    if (!this.#options.resolve) return nodeId;
    if (!this.#hostnames.has(nodeId)) this.#hostnames = await hostnamesOf(this.#control);
    return this.#hostnames.get(nodeId) ?? nodeId;
  }

  #coloured(text: string): string {
    const { stdout, env } = this.#io;
    if (!stdout.isTTY || env["NO_COLOR"]) return text;
    return `\x1b[${colours[this.#words.size % colours.length]}m${text}\x1b[0m`;
  }

  async #task(taskId: string): Promise<Task | undefined> {
    try {
      return (await this.#control.getTask({ ref: taskId })).task;
    } catch (thrown) {
      // Its log outlives a task that has left the history.
      if (Fault.from(thrown).code === "not-found") return undefined;
      throw thrown;
    }
  }
}

/** Where the line is from, and the labels and variables that the options of the log driver name. */
function detailsOf(task: Task | undefined, nodeId: string): string {
  const pairs = [
    ["com.docker.swarm.node.id", nodeId],
    ["com.docker.swarm.service.id", task?.serviceId ?? ""],
    ["com.docker.swarm.task.id", task?.id ?? ""],
  ];
  const runtime = task?.spec?.runtime;
  if (task !== undefined && runtime?.case === "container") {
    const { labels, env } = parseLogDriver(task.spec?.logDriver ?? task.logDriver);
    for (const name of labels) pairs.push([name, runtime.value.labels[name] ?? ""]);
    for (const name of env) {
      const variable = runtime.value.env.find((entry) => entry.startsWith(`${name}=`)) ?? "";
      pairs.push([name, variable.slice(name.length + 1)]);
    }
  }
  const given = pairs.filter(([, value]) => value !== "");
  return given.map(([key, value]) => `${key}=${value}`).join(",");
}
