/**
 * Runs one task: event → step → save → report → effects, one after the other. Decides nothing (state.ts does) and touches
 * no container itself (Containers does). At most one operation (prepare, start, release) is under way at any time;
 * the next one first aborts it and waits for its end. Letting go leaves the container running.
 */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type PortConfig, PublishMode, type TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { msFromDuration } from "#proto/time.ts";
import type { Containers } from "../container/containers.ts";
import { planHealthCheck } from "../health/health-check.ts";
import { supportedContainer } from "../container/refusals.ts";
import type { Slots } from "../slots.ts";
import { persist } from "../persist.ts";
import type { TaskNamespace } from "../network/network-driver.ts";
import { desiredOf } from "./desired.ts";
import type { ImageSource, Progress, TaskImage, TaskNetworks } from "./sources.ts";
import { type Effect, type Event, isLive, type Recovered, type State, step } from "./state.ts";
import { isNewToManagers, statusOf } from "./status.ts";
import type { TaskFiles } from "./task-files.ts";
import { containerOf } from "../container/container-of.ts";

export interface RunnerModules {
  readonly images: ImageSource;
  readonly networks: TaskNetworks;
  readonly containers: Containers;
  readonly files: TaskFiles;
  /** How many containers are started at a time. */
  readonly startSlots: Slots;
  /** How many are removed: a start that hangs must not keep anything from ending. */
  readonly releaseSlots: Slots;
  /** How many health checks run. */
  readonly probeSlots: Slots;
  readonly report: (taskId: string, status: TaskStatus) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const graceMsDefault = 10_000;

/**
 * News of a task reach the DNS of all nodes in some tens of milliseconds. Clients that remember names for longer need a
 * longer delay, which their service has to ask for.
 */
const stopDelayMsDefault = 200;

/** How often it is looked whether a container has ended with its host. */
const endLookMs = 100;

/** SIGKILL needs no repeating, except for one that was sent to a process in the kernel's hands. */
const killAgainMs = 10_000;

interface Prepared {
  readonly image: TaskImage;
  readonly namespace: TaskNamespace;
}

interface Operation {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export class TaskRunner {
  readonly #modules: RunnerModules;
  #task: Task;
  #state: State;
  #prepared: Prepared | undefined;
  #operation: Operation | undefined;
  #timer: Disposable | undefined;
  #probing: Operation | undefined;
  readonly #letGo = new AbortController();
  readonly #events: Event[] = [];
  #draining: Promise<void> = Promise.resolve();
  #saved: Promise<void> = Promise.resolve();
  #isDraining = false;
  readonly #ended = new AbortController();

  constructor(options: { readonly task: Task; readonly state: State }, modules: RunnerModules) {
    this.#task = options.task;
    this.#state = options.state;
    this.#modules = { ...modules, log: modules.log.child({ task: options.task.id }) };
  }

  get task(): Task {
    return this.#task;
  }

  get status(): TaskStatus {
    return statusOf(this.#task.id, this.#state);
  }

  /** Resolves when the task's folder is there. */
  get saved(): Promise<void> {
    return this.#saved;
  }

  /** Aborts once the task has ended and holds nothing any more. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Aborts once this program takes no further care of the task. */
  get letGo(): AbortSignal {
    return this.#letGo.signal;
  }

  begin(): void {
    this.#saveTask();
    this.post({ kind: "begun" });
  }

  recover(found: Recovered | undefined): void {
    if (this.#state.phase.kind === "ended") this.#ended.abort();
    const recovered: Event =
      found === undefined ? { kind: "recovered" } : { kind: "recovered", found };
    this.post(recovered);
    this.post({ kind: "desired", desired: desiredOf(this.#task) });
  }

  /** The task as the managers want it now. What its spec says cannot change, only what is desired of it. */
  update(task: Task): void {
    const before = this.#task;
    this.#task = task;
    const desired = desiredOf(task);
    if (desired === desiredOf(before)) return;
    this.#saveTask();
    this.post({ kind: "desired", desired });
  }

  /** Whether an exit of the container would mean something. */
  get hasContainer(): boolean {
    return isLive(this.#state.phase);
  }

  get attempt(): number {
    return this.#state.attempt;
  }

  stop(): void {
    this.post({ kind: "desired", desired: "stopped" });
  }

  post(event: Event): void {
    if (this.letGo.aborted) return;
    this.#events.push(event);
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#draining = this.#drain();
  }

  /**
   * For a host that shuts down: lets go, and has the container end as its service wishes. Resolves when it has ended, or
   * after its grace period, at most `mostMs`. How it ends is not noted: after the boot it is taken up as one that ran.
   */
  async endWithHost(mostMs: number): Promise<void> {
    await this[Symbol.asyncDispose]();
    const { phase } = this.#state;
    if (!isLive(phase)) return;
    const { clock, containers } = this.#modules;
    const untilMs = clock.monotonic() + Math.min(this.#graceMs, mostMs);
    const isAlive = () => containers.isAlive(this.#task.id, phase.pid);
    await this.#tryTo("stop the container", async () => this.#signalStop(phase.pid));
    while (isAlive() && clock.monotonic() < untilMs) await clock.sleep(endLookMs);
  }

  /** Lets go: what runs goes on running, what is under way is waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo.abort(new Fault("canceled", "the agent is stopping"));
    this.#timer?.[Symbol.dispose]();
    const operations = [this.#operation, this.#probing];
    for (const one of operations) one?.abort.abort(new Fault("canceled", "the agent is stopping"));
    await this.#draining;
    await Promise.all([this.#operation?.done, this.#probing?.done]);
    await this.#saved;
  }

  async #drain(): Promise<void> {
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      try {
        await this.#onEvent(event);
      } catch (error) {
        // Its effect was not possible, for one a signal to the container. The task goes on with the next event.
        const fault = Fault.from(error);
        this.#modules.log.error("Cannot go on with the task", { error: fault.message });
      }
    }
    this.#isDraining = false;
  }

  async #onEvent(event: Event): Promise<void> {
    const nowMs = this.#modules.clock.now();
    const before = this.#state;
    const { state, effects } = step(before, event, {
      nowMs,
      policy: this.#task.spec?.restart,
      drainMs: drainMsOf(this.#task),
      memoryLimitBytes: Number(this.#task.spec?.resources?.limits?.memoryBytes ?? 0n),
    });
    this.#state = state;
    if (state.phase.kind !== "checking" && state.phase.kind !== "running") this.#stopProbing();
    if (state !== before) {
      // Progress of a pull is for the eye only.
      if (event.kind !== "progress") await this.#saveState(state);
      if (isNewToManagers(before, state)) this.#modules.report(this.#task.id, this.status);
    }
    for (const effect of effects) await this.#perform(effect);
    if (state.phase.kind === "ended") this.#ended.abort();
  }

  async #perform(effect: Effect): Promise<void> {
    if (effect.kind === "probe") return this.#performProbe(effect.inMs);
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    switch (effect.kind) {
      case "prepare":
        return this.#operate((signal) => this.#performPrepare(signal));
      case "start":
        return this.#operate((signal) => this.#performStart(effect.attempt, signal));
      case "release":
        return this.#operate((signal) => this.#performRelease(effect.final, signal));
      case "drain":
        return this.#performDrain(effect.ms);
      case "stop":
        return this.#performStop(effect.pid);
      case "kill":
        return this.#performKill(effect.pid);
      case "wait":
        return this.#performWait(effect.untilMs);
    }
  }

  /** Begins an operation when the one before it has ended; does not wait for it. */
  async #operate(operation: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#operation?.abort.abort(new Fault("canceled", "overtaken by what came later"));
    await this.#operation?.done;
    if (this.letGo.aborted) return;
    const abort = new AbortController();
    this.#operation = { abort, done: operation(abort.signal) };
  }

  async #performPrepare(signal: AbortSignal): Promise<void> {
    try {
      const spec = supportedContainer(this.#task);
      const image = await this.#modules.images.pull(spec.image, {
        signal,
        registryAuth: spec.pullOptions?.registryAuth,
        onProgress: (progress) =>
          this.post({ kind: "progress", message: progressMessage(progress) }),
      });
      this.#prepared = await this.#prepareWith(image, signal);
      const check = planHealthCheck(spec.healthcheck, image.config);
      this.post(check === undefined ? { kind: "prepared" } : { kind: "prepared", check });
    } catch (error) {
      if (signal.aborted) return;
      this.post({ kind: "prepare-failed", reason: Fault.from(error).message });
    }
  }

  async #performStart(attempt: number, signal: AbortSignal): Promise<void> {
    const { containers, startSlots } = this.#modules;
    try {
      const prepared = (this.#prepared ??= await this.#prepareAgain(signal));
      const pid = await startSlots.run(signal, () =>
        containers.start(this.#task, attempt, prepared, signal),
      );
      this.post({ kind: "started", pid });
    } catch (error) {
      if (signal.aborted) return;
      const reason = Fault.from(error).message;
      this.post({
        kind: "exited",
        exit: { exitCode: startExitCode(reason), oomKilled: false, reason },
      });
      return;
    }
    await this.#tryTo("remove earlier attempts", () =>
      containers.removeAttempts(this.#task.id, attempt),
    );
  }

  /** What is not released may still run: the task goes no further before it is. */
  async #performRelease(final: boolean, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#modules;
    const released = await persist(() => this.#release(final, signal), signal, {
      clock,
      onFailure: ({ message: reason }, pauseMs) => {
        log.warn("Cannot release the task", { error: reason, againInMs: pauseMs });
        this.post({ kind: "release-failed", reason });
      },
    });
    // Overtaken by a final one, which is still to be done.
    if (released && !signal.aborted) this.post({ kind: "released" });
  }

  async #release(final: boolean, signal: AbortSignal): Promise<void> {
    const { containers, networks, releaseSlots } = this.#modules;
    const { id } = this.#task;
    const during = async (action: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        throw Fault.wrap(`Cannot ${action}`, error);
      }
    };
    await during("remove the container", () =>
      releaseSlots.run(signal, () => containers.release(id)),
    );
    if (!final) return;
    await during("detach from networks", () => networks.detach(id));
    await during("remove the attempts' files", () => containers.removeAttempts(id));
  }

  /** What cannot be saved or cleared away must not keep the task from going on; the next start of the agent clears up. */
  async #tryTo(action: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#modules.log.warn(`Cannot ${action}`, { error: Fault.from(error).message });
    }
  }

  #performProbe(inMs: number): void {
    this.#stopProbing();
    const abort = new AbortController();
    const done = this.#modules.clock
      .sleep(inMs, abort.signal)
      .then(() => this.#probe(abort.signal))
      .catch((thrown: unknown) => this.#onUnprobed(thrown, abort.signal));
    this.#probing = { abort, done };
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { containers, probeSlots } = this.#modules;
    const { phase, check, attempt } = this.#state;
    if (check === undefined || !isLive(phase)) return;
    const { id: taskId } = this.#task;
    const probe = await probeSlots.run(signal, () =>
      containers.probe({ taskId, attempt }, check, signal),
    );
    if (signal.aborted) return;
    // What ends takes its probe with it: that is an exit, and no failure of the check.
    if (probe.exitCode !== 0 && !containers.isAlive(taskId, phase.pid)) return;
    this.post({ kind: "probed", probe });
  }

  #onUnprobed(thrown: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const { clock, log } = this.#modules;
    log.warn("Cannot run a health check", { error: Fault.from(thrown).message });
    this.post({ kind: "not-probed", atMs: clock.now() });
  }

  #stopProbing(): void {
    this.#probing?.abort.abort(new Fault("canceled", "the container is being stopped"));
  }

  #performDrain(ms: number): void {
    this.#timer = this.#modules.clock.timer(ms, () => this.post({ kind: "drained" }));
  }

  #performStop(pid: number): void {
    this.#timer = this.#graceTimer(this.#graceMs);
    this.#signalStop(pid);
  }

  get #graceMs(): number {
    return msFromDuration(containerOf(this.#task)?.stopGracePeriod, graceMsDefault);
  }

  /** As the service, or else its image, wants it. */
  #signalStop(pid: number): void {
    const spec = containerOf(this.#task);
    const image = this.#prepared?.image ?? this.#modules.images.find(spec?.image ?? "");
    const signal = parseSignal(spec?.stopSignal || image?.config.stopSignal || "SIGTERM");
    this.#modules.containers.kill(this.#task.id, pid, signal);
  }

  #performKill(pid: number): void {
    this.#timer = this.#graceTimer(killAgainMs);
    this.#modules.containers.kill(this.#task.id, pid, "SIGKILL");
  }

  /** Set before the signal is sent: where that fails, the kill that follows is what still ends the container. */
  #graceTimer(graceMs: number): Disposable {
    return this.#modules.clock.timer(graceMs, () => this.post({ kind: "grace-over" }));
  }

  #performWait(untilMs: number): void {
    const { clock } = this.#modules;
    this.#timer = clock.timer(Math.max(0, untilMs - clock.now()), () => this.post({ kind: "due" }));
  }

  /**
   * After this program was started again. The image is here since the first time; asking the registry again could fail,
   * or find another image under the same tag.
   */
  async #prepareAgain(signal: AbortSignal): Promise<Prepared> {
    const { image: reference, pullOptions } = supportedContainer(this.#task);
    const { images } = this.#modules;
    const wish = { signal, registryAuth: pullOptions?.registryAuth };
    const image = images.find(reference) ?? (await images.pull(reference, wish));
    return this.#prepareWith(image, signal);
  }

  async #prepareWith(image: TaskImage, signal: AbortSignal): Promise<Prepared> {
    const { networks, containers } = this.#modules;
    const spec = supportedContainer(this.#task);
    checkStopSignal(spec, image);
    const namespace = await networks.attach(this.#task.id, this.#task.networks, {
      hostPorts: hostPortsOf(this.#task),
      nameservers: spec.dnsConfig?.nameservers ?? [],
    });
    const prepared = { image, namespace };
    await containers.prepare(this.#task, prepared, signal);
    return prepared;
  }

  /** Without its files a task runs as well; it is only not taken up again: the managers send it anew. */
  async #saveState(state: State): Promise<void> {
    await this.#saved;
    await this.#tryTo("save the task's state", () =>
      this.#modules.files.saveState(this.#task.id, state),
    );
  }

  #saveTask(): void {
    const task = this.#task;
    this.#saved = this.#saved.then(() =>
      this.#tryTo("save the task", () => this.#modules.files.saveTask(task)),
    );
  }
}

export function progressMessage({ phase, completedBytes, totalBytes }: Progress): string {
  if (phase === "unpacking") return "unpacking image";
  if (phase !== "downloading" || totalBytes === 0) return "pulling image";
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  return `pulling image ${mb(completedBytes)} / ${mb(totalBytes)} MB`;
}

/** An image's author may have written anything; the service's own signal, where it has one, is the one that counts. */
function checkStopSignal(spec: Pick<ContainerSpec, "image" | "stopSignal">, image: TaskImage) {
  if (spec.stopSignal !== "") parseSignal(spec.stopSignal);
  else if (image.config.stopSignal !== "") {
    try {
      parseSignal(image.config.stopSignal);
    } catch (error) {
      throw new Fault(
        "failed-precondition",
        `image "${spec.image}" has the unknown StopSignal "${image.config.stopSignal}": set the service's stop_signal`,
        { cause: error },
      );
    }
  }
}

/** As Docker: 127 where there is no such command, 126 where it cannot be run, 128 where the container could not be made. */
function startExitCode(reason: string): number {
  if (!reason.startsWith("exec: ")) return 128;
  return /executable file not found|no such file or directory/.test(reason) ? 127 : 126;
}

/** All others are the whole cluster's, and lead to the task from every node. */
function hostPortsOf({ endpoint }: Task): readonly PortConfig[] {
  return (endpoint?.ports ?? []).filter(({ publishMode }) => publishMode === PublishMode.HOST);
}

/** Only what has a name on a network is looked up by others. */
function drainMsOf({ spec, networks }: Task): number {
  if (spec?.runtime.case !== "container" || networks.length === 0) return 0;
  return Math.max(0, msFromDuration(spec.runtime.value.stopDelay, stopDelayMsDefault));
}
