/**
 * The tasks of this node: one runner each, kept in step with the complete set that the managers assign. Goes on without
 * managers; takes up what an earlier run of this program left; clears away what belongs to nobody.
 */
import { once } from "node:events";
import { chmod, mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type LogMessage,
  LogMessageSchema,
  type LogOptions,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import { isId } from "#proto/ids.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { Containers, type ContainerRemains } from "./container/containers.ts";
import { type Exec, systemExec } from "./exec.ts";
import { Slots } from "./slots.ts";
import { type TaskLog, TaskLogs } from "./log/task-logs.ts";
import { type Mounts, openMounts } from "./container/open-mounts.ts";
import type { FileSet } from "./secret/file-objects.ts";
import type { VolumeStore } from "./volume/volume-store.ts";
import { persist } from "./persist.ts";
import type { StatsSource } from "./stats/stats-api.ts";
import { desiredOf } from "./task/desired.ts";
import { type RunnerModules, TaskRunner } from "./task/runner.ts";
import type { ImageSource, TaskNetworks } from "./task/sources.ts";
import { initialState, isLive, type Recovered } from "./task/state.ts";
import { TaskFiles } from "./task/task-files.ts";

export interface WorkerOptions {
  readonly stateRoot: string;
  readonly runRoot: string;
  readonly cgroupParent: string;
  readonly supervisorCgroups?: readonly string[];
  readonly runtime: "runc";
}

export interface WorkerModules {
  readonly images: ImageSource;
  readonly network: TaskNetworks;
  readonly report: (taskId: string, status: TaskStatus) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly exec?: Exec;
}

/** Starting or removing one container keeps about one core busy; some wait for the kernel meanwhile. */
const runtimesAtATime = availableParallelism() + 2;

/** Health checks mostly wait for an answer of their container. */
const probesAtATime = 8 * availableParallelism();

/** conmon may be killed without a word; every so often somebody looks. */
const lookPeriodMs = 5_000;

export class Worker {
  readonly #modules: WorkerModules;
  readonly #mounts: Mounts;
  readonly #files: TaskFiles;
  readonly #containers: Containers;
  readonly #runnerModules: RunnerModules;
  readonly #runners = new Map<string, TaskRunner>();
  readonly #logs: TaskLogs;
  /** Tasks that are no longer assigned and are on their way out. */
  readonly #removals = new Map<string, Promise<void>>();
  #wanted: ReadonlyMap<string, Task> = new Map();
  #look: Disposable | undefined;
  readonly #letGo = new AbortController();

  /** For `open`. */
  constructor(options: WorkerOptions, modules: WorkerModules, mounts: Mounts) {
    this.#modules = modules;
    this.#mounts = mounts;
    const { clock, log, images, network, report, exec = systemExec } = modules;
    const tasksFolder = join(options.stateRoot, "tasks");
    this.#files = new TaskFiles(tasksFolder);
    this.#containers = new Containers(
      { ...options, tasksFolder },
      { exec, clock, log, mounts: mounts.tasks, onExit: (taskId) => this.#onExit(taskId) },
    );
    this.#logs = new TaskLogs(() => this.#runners.values().map((runner) => this.#logOf(runner)), {
      exec,
      clock,
      log,
    });
    this.#runnerModules = {
      images,
      networks: network,
      report,
      clock,
      log,
      containers: this.#containers,
      files: this.#files,
      startSlots: new Slots(runtimesAtATime),
      releaseSlots: new Slots(runtimesAtATime),
      probeSlots: new Slots(probesAtATime),
    };
  }

  /** Adopts what still runs from before: its containers do not notice. */
  static async open(options: WorkerOptions, modules: WorkerModules): Promise<Worker> {
    await closeToOthers(options.stateRoot);
    const { exec = systemExec } = modules;
    const mounts = await openMounts(options, { ...modules, exec });
    const worker = new Worker(options, modules, mounts);
    try {
      await worker.#adopt();
      worker.#lookLater();
      return worker;
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw Fault.wrap("Cannot take up the tasks of this node", error);
    }
  }

  get volumes(): VolumeStore {
    return this.#mounts.volumes;
  }

  /**
   * The complete set of this node's tasks, and of the secrets and configs that they read: a task that is not in it is
   * stopped and removed with everything that it has.
   */
  assign(tasks: readonly Task[], files: FileSet = noFiles): void {
    this.#mounts.fileObjects.update(files);
    this.#wanted = new Map(tasks.map((task) => [task.id, task]));
    for (const task of tasks) {
      // One that is on its way out comes back when it is gone.
      if (this.#removals.has(task.id)) continue;
      const runner = this.#runners.get(task.id);
      if (runner === undefined) this.#begin(task);
      else runner.update(task);
    }
    for (const [taskId, runner] of this.#runners) {
      if (this.#wanted.has(taskId) || this.#removals.has(taskId)) continue;
      this.#removals.set(taskId, this.#remove(taskId, runner));
    }
  }

  /** The containers that run now, for who wants to know what they use. */
  running(): readonly StatsSource[] {
    return [...this.#runners].flatMap(([taskId, { task, hasContainer, status, attempt }]) => {
      const pid = status.container?.pid ?? 0;
      if (!hasContainer || pid === 0) return [];
      const readCgroups = () => this.#containers.cgroupsOf(taskId);
      const restarts = Math.max(0, attempt - 1);
      return [{ taskId, serviceId: task.serviceId, pid, restarts, readCgroups }];
    });
  }

  /** For a host that shuts down: has all containers end as their services wish, for at most so long. */
  async endWithHost(mostMs: number): Promise<void> {
    this.#look?.[Symbol.dispose]();
    await Promise.all([...this.#runners.values()].map((runner) => runner.endWithHost(mostMs)));
  }

  /** The newest status of each task. */
  statuses(): ReadonlyMap<string, TaskStatus> {
    return new Map([...this.#runners].map(([taskId, runner]) => [taskId, runner.status]));
  }

  /** Resolves when every task that is no longer assigned is gone, or this program has let go. */
  async idle(): Promise<void> {
    await Promise.all(this.#removals.values());
  }

  /** The task's log lines, of all its attempts, some at a time. With `follow` until the task has ended. */
  async *logs(
    taskId: string,
    options: LogOptions | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<readonly LogMessage[], void, undefined> {
    const runner = this.#runners.get(taskId);
    if (runner === undefined) {
      throw new Fault("not-found", `task "${taskId}" is not on this node`);
    }
    const { serviceId, nodeId } = runner.task;
    // A reader watches the folder for a log to come.
    await runner.saved;
    for await (const lines of this.#logs.read(this.#logOf(runner), options, signal)) {
      yield lines.map((line) => create(LogMessageSchema, { ...line, serviceId, nodeId, taskId }));
    }
  }

  #logOf({ task, ended, hasContainer, attempt }: TaskRunner): TaskLog {
    const folder = this.#containers.folderOf(task.id);
    if (!hasContainer) return { task, folder, ended };
    return { task, folder, ended, controlPipe: this.#containers.controlPipeOf(task.id, attempt) };
  }

  /** Lets go: the containers go on running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo.abort(new Fault("canceled", "the agent is stopping"));
    this.#look?.[Symbol.dispose]();
    this.#containers[Symbol.dispose]();
    await this.#logs[Symbol.asyncDispose]();
    await Promise.all([...this.#runners.values()].map((runner) => runner[Symbol.asyncDispose]()));
    await this.idle();
  }

  #begin(task: Task): void {
    const state = initialState(desiredOf(task), this.#modules.clock.now());
    const runner = new TaskRunner({ task, state }, this.#runnerModules);
    this.#runners.set(task.id, runner);
    runner.begin();
  }

  async #remove(taskId: string, runner: TaskRunner): Promise<void> {
    runner.stop();
    if (!(await this.#endOf(runner))) return;
    await runner[Symbol.asyncDispose]();
    await this.#logs.forget(runner.task);
    await this.#takeAway(taskId, () => this.#containers.remove(taskId));
  }

  /** Only when nothing is left of a task can it come back. */
  async #takeAway(taskId: string, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#modules;
    const gone = await persist(work, this.#letGo.signal, {
      clock,
      onFailure: ({ message: error }, againInMs) =>
        log.warn("Cannot clear away what is left of a task", { task: taskId, error, againInMs }),
    });
    if (!gone) return;
    this.#runners.delete(taskId);
    this.#removals.delete(taskId);
    const again = this.#wanted.get(taskId);
    if (again !== undefined && !this.#letGo.signal.aborted) this.#begin(again);
  }

  /** False: this program let go before the task ended. */
  async #endOf(runner: TaskRunner): Promise<boolean> {
    const { ended, letGo } = runner;
    if (ended.aborted || letGo.aborted) return ended.aborted;
    await once(AbortSignal.any([ended, letGo]), "abort");
    return ended.aborted;
  }

  async #adopt(): Promise<void> {
    const folders = await this.#files.list();
    await Promise.all(folders.map((taskId) => this.#adoptTask(taskId)));
    const [containers, namespaces] = await Promise.all([
      this.#containers.list(),
      this.#modules.network.list(),
    ]);
    const strays = new Set([...folders, ...containers, ...namespaces].filter(isId));
    for (const taskId of this.#runners.keys()) strays.delete(taskId);
    for (const taskId of strays) await this.#clearAway(taskId);
  }

  async #adoptTask(taskId: string): Promise<void> {
    try {
      const stored = await this.#files.load(taskId);
      if (stored === undefined) return;
      const { attempt, phase } = stored.state;
      const hasContainer = phase.kind === "starting" || isLive(phase);
      const found = hasContainer ? this.#containers.inspect(taskId, attempt) : undefined;
      const runner = new TaskRunner(stored, this.#runnerModules);
      this.#runners.set(taskId, runner);
      runner.recover(found === undefined ? undefined : recoveredOf(found));
    } catch (error) {
      const fault = Fault.from(error);
      // This program is out of something: what runs goes on, and the next start takes it up.
      if (fault.code === "resource-exhausted") throw fault;
      this.#modules.log.error("Cannot take up a task: it is cleared away", {
        task: taskId,
        error: fault.message,
      });
    }
  }

  /** Nobody knows this task: the managers will send it again if they want it. Resolves after the first try. */
  async #clearAway(taskId: string): Promise<void> {
    this.#modules.log.info("Clearing away what is left of a task", { task: taskId });
    const tried = Promise.withResolvers<void>();
    const clear = async () => {
      try {
        await this.#containers.release(taskId);
        await this.#modules.network.detach(taskId);
        await this.#containers.remove(taskId);
      } finally {
        tried.resolve();
      }
    };
    this.#removals.set(taskId, this.#takeAway(taskId, clear));
    await tried.promise;
  }

  #onExit(taskId: string): void {
    const runner = this.#runners.get(taskId);
    if (runner === undefined) return;
    const recovered = recoveredOf(this.#containers.inspect(taskId, runner.attempt));
    if (recovered.kind === "exited") runner.post(recovered);
  }

  /** What cannot be found out about one task now is asked again; the others go on. */
  #lookAt(taskId: string): void {
    try {
      this.#onExit(taskId);
    } catch (error) {
      this.#modules.log.error("Cannot see what has become of a container", {
        task: taskId,
        error: Fault.from(error).message,
      });
    }
  }

  #lookLater(): void {
    this.#look = this.#modules.clock.timer(lookPeriodMs, () => {
      for (const [taskId, runner] of this.#runners) {
        if (runner.hasContainer) this.#lookAt(taskId);
      }
      this.#lookLater();
    });
  }
}

const noFiles: FileSet = { secrets: new Map(), configs: new Map() };

/**
 * Images and containers bring setuid programs and secrets of their own: none of them is for the host's other users
 * (CVE-2021-41091). Everything below is shut off here, whatever its own mode. Containers are reached by their mounts.
 */
async function closeToOthers(stateRoot: string): Promise<void> {
  await mkdir(stateRoot, { recursive: true, mode: 0o700 });
  await chmod(stateRoot, 0o700);
}

/** The exit code of a container whose own is not known. */
const exitCodeUnknown = 255;

function recoveredOf(found: ContainerRemains): Recovered {
  switch (found.kind) {
    case "running":
      return found;
    case "exited":
      return { kind: "exited", exit: { exitCode: found.exitCode, oomKilled: found.oomKilled } };
    case "lost": {
      const exit = { exitCode: exitCodeUnknown, oomKilled: false, reason: found.reason };
      return { kind: "exited", exit };
    }
  }
}
