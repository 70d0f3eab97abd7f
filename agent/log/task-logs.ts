/**
 * The logs of this node's tasks: within their limits, on their way to where their drivers want them, and read by whoever
 * asks. A task's log is in the task's folder for every driver but "none", and can be read from there.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { LogOptions } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { LogDriver } from "#proto/log-driver.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Exec } from "../exec.ts";
import { logDriverOf } from "./conmon-log.ts";
import { JsonFile } from "./json-file.ts";
import { LogRotation } from "./log-files.ts";
import { LogForwarder, type LogSink } from "./log-forwarder.ts";
import { type ReadLine, readLog } from "./log-reader.ts";
import { attributesOf, expandTag } from "./log-tag.ts";
import { openSyslog } from "./syslog.ts";

/** In so much time the busiest task should not write more than its files hold. */
const periodMs = 1_000;

/** How long a removed task's log may take to be delivered. */
const lastWordMs = 2_000;

export interface TaskLog {
  readonly task: Task;
  readonly folder: string;
  /** Of the container that runs: the pipe through which conmon is told things. */
  readonly controlPipe?: string;
  /** Aborts when nothing will be appended any more. */
  readonly ended: AbortSignal;
}

export interface TaskLogsModules {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Log;
}

export class TaskLogs implements AsyncDisposable {
  readonly #modules: TaskLogsModules;
  readonly #list: () => Iterable<TaskLog>;
  readonly #drivers = new WeakMap<Task, LogDriver>();
  readonly #rotations = new Map<string, LogRotation>();
  readonly #forwarders = new Map<string, LogForwarder>();
  /** Tasks that are going: their folders may be gone already. */
  readonly #forgotten = new WeakSet<Task>();
  /** Of which it was said already that they cannot be cared for. */
  readonly #failed = new WeakSet<Task>();
  #timer: Disposable | undefined;

  constructor(list: () => Iterable<TaskLog>, modules: TaskLogsModules) {
    this.#list = list;
    this.#modules = modules;
    this.#lookLater();
  }

  /** Lines as they come; with `follow` until the task has ended, or the time that was asked for has come. */
  async *read(
    { task, folder, ended }: TaskLog,
    options: LogOptions | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<readonly ReadLine[], void, undefined> {
    if (this.#driverOf(task).name === "none") {
      throw new Fault("failed-precondition", 'log driver "none" keeps nothing that could be read');
    }
    const { clock } = this.#modules;
    const over = new AbortController();
    const untilMs = options?.until === undefined ? Infinity : msFromTimestamp(options.until);
    const waitMs = Math.max(0, untilMs - clock.now());
    // Timers cannot be set further ahead; nobody follows for so long.
    using _timer = waitMs < 2 ** 31 ? clock.timer(waitMs, () => over.abort()) : undefined;
    const source = { folder, options, ended: AbortSignal.any([ended, over.signal]) };
    yield* readLog(source, signal);
  }

  /** The task is being removed: what is left of its log gets a moment to be delivered. */
  async forget(task: Task): Promise<void> {
    const { id: taskId } = task;
    this.#forgotten.add(task);
    this.#rotations.delete(taskId);
    const forwarder = this.#forwarders.get(taskId);
    if (forwarder === undefined) return;
    const late = Promise.withResolvers<void>();
    using _timer = this.#modules.clock.timer(lastWordMs, () => late.resolve());
    await Promise.race([forwarder.done, late.promise]);
    await forwarder[Symbol.asyncDispose]();
    this.#forwarders.delete(taskId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    const forwarders = [...this.#forwarders.values()];
    await Promise.all(forwarders.map((forwarder) => forwarder[Symbol.asyncDispose]()));
  }

  #lookLater(): void {
    this.#timer = this.#modules.clock.timer(periodMs, () => {
      for (const log of this.#list()) this.#look(log);
      this.#lookLater();
    });
  }

  /** One log that cannot be cared for must not keep the others from it. */
  #look(taskLog: TaskLog): void {
    const { task, folder, controlPipe } = taskLog;
    if (this.#forgotten.has(task)) return;
    try {
      const driver = this.#driverOf(task);
      if (controlPipe !== undefined) {
        const rotation = this.#rotations.get(task.id) ?? new LogRotation(folder, driver);
        this.#rotations.set(task.id, rotation);
        rotation.look(controlPipe);
      }
      if (!this.#forwarders.has(task.id)) this.#forward(taskLog, driver);
    } catch (error) {
      if (this.#failed.has(task)) return;
      this.#failed.add(task);
      const fields = { task: task.id, error: Fault.from(error).message };
      this.#modules.log.error("Cannot care for a task's log", fields);
    }
  }

  #forward({ task, folder, ended }: TaskLog, driver: LogDriver): void {
    const openSink = this.#sinkOf(task, folder, driver);
    if (openSink === undefined) return;
    const { clock, log } = this.#modules;
    const modules = { clock, log: log.child({ task: task.id, driver: driver.name }) };
    this.#forwarders.set(task.id, new LogForwarder({ folder, ended, openSink }, modules));
  }

  #sinkOf(
    task: Task,
    folder: string,
    driver: LogDriver,
  ): ((position: number) => LogSink) | undefined {
    const tag = expandTag(driver.tag, task);
    if (driver.name === "json-file") {
      const named = tag === "" || driver.tag === "{{.ID}}" ? {} : { tag };
      const attributes = { ...attributesOf(task, driver), ...named };
      const options = { ...driver, path: join(folder, `${task.id}-json.log`), attributes };
      return (position) => new JsonFile(options, position);
    }
    const { syslog } = driver;
    if (syslog === undefined) return undefined;
    return () => openSyslog({ ...syslog, hostname: hostname(), tag }, this.#modules);
  }

  #driverOf(task: Task): LogDriver {
    const known = this.#drivers.get(task) ?? logDriverOf(task);
    this.#drivers.set(task, known);
    return known;
  }
}
