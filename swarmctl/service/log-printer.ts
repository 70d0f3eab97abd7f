/**
 * Log lines as Docker prints them: `web.1.<task ID>@host    | line`, stderr's to stderr. What a line's task and node are
 * called is looked up when an ID is seen for the first time.
 */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Fault } from "#proto/fault.ts";
import {
  type LogMessage,
  LogStream,
  type SubscribeLogsResponse,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { ControlClient } from "../context.ts";
import type { Io } from "../io.ts";
import { hostnamesOf } from "../task/print-tasks.ts";
import { taskName } from "./words.ts";

export interface LogPrinterOptions {
  readonly timestamps?: true;
  readonly raw?: true;
  /** Commander's form of --no-task-ids. */
  readonly taskIds: boolean;
}

const decoder = new TextDecoder();

export class LogPrinter {
  readonly #io: Io;
  readonly #control: ControlClient;
  readonly #options: LogPrinterOptions;
  readonly #names = new Map<string, string>();
  readonly #warnings = new Set<string>();
  #hostnames: ReadonlyMap<string, string> = new Map();

  constructor(io: Io, control: ControlClient, options: LogPrinterOptions) {
    this.#io = io;
    this.#control = control;
    this.#options = options;
  }

  async print(reply: SubscribeLogsResponse): Promise<void> {
    for (const message of reply.messages) {
      const prefix = this.#options.raw ? "" : `${(await this.#name(message)).padEnd(36)} | `;
      const output = message.stream === LogStream.STDERR ? this.#io.stderr : this.#io.stdout;
      output.write(`${this.#time(message)}${prefix}${decoder.decode(message.data)}\n`);
    }
    for (const warning of reply.warnings) this.#warnings.add(warning);
  }

  finish(): void {
    if (this.#warnings.size === 0) return;
    throw new Fault("unavailable", `The log is incomplete: ${[...this.#warnings].join("; ")}`);
  }

  #time({ timestamp }: LogMessage): string {
    if (!this.#options.timestamps || timestamp === undefined) return "";
    const [date] = timestampDate(timestamp).toISOString().split(".");
    return `${date}.${String(timestamp.nanos).padStart(9, "0")}Z `;
  }

  async #name({ taskId, nodeId }: LogMessage): Promise<string> {
    const known = this.#names.get(taskId);
    if (known !== undefined) return known;
    if (!this.#hostnames.has(nodeId)) this.#hostnames = await hostnamesOf(this.#control);
    const name = `${await this.#taskName(taskId)}@${this.#hostnames.get(nodeId) ?? nodeId}`;
    this.#names.set(taskId, name);
    return name;
  }

  async #taskName(taskId: string): Promise<string> {
    try {
      const { task } = await this.#control.getTask({ ref: taskId });
      if (task === undefined) return taskId;
      return this.#options.taskIds ? `${taskName(task)}.${taskId}` : taskName(task);
    } catch (thrown) {
      // Its log outlives a task that has left the history.
      if (Fault.from(thrown).code === "not-found") return taskId;
      throw thrown;
    }
  }
}
