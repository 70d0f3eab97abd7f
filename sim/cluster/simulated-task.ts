/** A task on a simulated host: the agent's own state machine, with effects that take simulated time. */
import { desiredOf } from "#agent/task/desired.ts";
import { planHealthCheck } from "#agent/health/health-check.ts";
import {
  type Effect,
  type Event,
  initialState,
  isLive,
  type State,
  step,
} from "#agent/task/state.ts";
import { isNewToManagers, statusOf } from "#agent/task/status.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import { behaviourOf } from "./containers.ts";
import type { World } from "./world.ts";

interface TaskHost {
  readonly nodeId: string;
  readonly report: (taskId: string, status: TaskStatus) => void;
}

const drainMs = 200;
const graceMs = 10_000;

export class SimulatedTask {
  #task: Task;
  readonly #world: World;
  readonly #host: TaskHost;
  #state: State;
  /** Grows when the program that looks after it ends: what was under way is not heard of. */
  #life = 1;
  #isLookedAfter = true;
  #onEnded: (() => void) | undefined;

  constructor(task: Task, host: TaskHost, world: World) {
    this.#task = task;
    this.#host = host;
    this.#world = world;
    this.#state = initialState(desiredOf(task), world.clock.now());
  }

  get task(): Task {
    return this.#task;
  }

  get status(): TaskStatus {
    return statusOf(this.#task.id, this.#state);
  }

  begin(): void {
    this.#post({ kind: "begun" });
    this.#post({ kind: "desired", desired: desiredOf(this.#task) });
  }

  update(task: Task): void {
    const before = desiredOf(this.#task);
    this.#task = task;
    const desired = desiredOf(task);
    if (desired !== before) this.#post({ kind: "desired", desired });
  }

  /** Nobody wants it here any more; `onEnded` when nothing of it is left. */
  remove(onEnded: () => void): void {
    this.#onEnded = onEnded;
    this.#post({ kind: "desired", desired: "stopped" });
    this.#tellEnd();
  }

  /** The agent ends; containers go on. */
  letGo(): void {
    this.#life += 1;
    this.#isLookedAfter = false;
  }

  /** The agent is there again, and finds the container, or that it is gone. */
  recover(): void {
    this.#isLookedAfter = true;
    const { phase } = this.#state;
    if (!isLive(phase) && phase.kind !== "starting") return this.#post({ kind: "recovered" });
    const pid = isLive(phase) ? phase.pid : 0;
    const found = this.#world.containers.isRunning(pid)
      ? ({ kind: "running", pid } as const)
      : ({ kind: "exited", exit: { exitCode: 137, oomKilled: false } } as const);
    this.#post({ kind: "recovered", found });
  }

  #post(event: Event): void {
    const before = this.#state;
    const { state, effects } = step(before, event, {
      nowMs: this.#world.clock.now(),
      policy: this.#task.spec?.restart,
      drainMs: this.#task.networks.length > 0 ? drainMs : 0,
      memoryLimitBytes: 0,
    });
    this.#state = state;
    if (state.attempt > Math.max(before.attempt, 1))
      this.#world.marks.add("tasks restarted in place");
    if (isNewToManagers(before, state)) this.#host.report(this.#task.id, this.status);
    for (const effect of effects) this.#perform(effect);
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.#state.phase.kind !== "ended" || this.#onEnded === undefined) return;
    const onEnded = this.#onEnded;
    this.#onEnded = undefined;
    this.#after(1, onEnded);
  }

  #perform(effect: Effect): void {
    const { random, clock } = this.#world;
    switch (effect.kind) {
      case "prepare":
        return this.#after(random.between(5, 1_500), () => this.#post(this.#prepared()));
      case "start":
        return this.#after(random.between(5, 300), () => this.#start(effect.attempt));
      case "probe":
        return this.#after(effect.inMs, () => this.#post(this.#probed()));
      case "drain":
        return this.#after(effect.ms, () => this.#post({ kind: "drained" }));
      case "stop":
        return this.#stop(effect.pid);
      case "kill":
        return this.#after(1, () => this.#world.containers.end(effect.pid, 137));
      case "release":
        return this.#after(random.between(1, 60), () => this.#post({ kind: "released" }));
      case "wait":
        return this.#after(effect.untilMs - clock.now(), () => this.#post({ kind: "due" }));
    }
  }

  #prepared(): Event {
    const runtime = this.#task.spec?.runtime;
    const wanted = runtime?.case === "container" ? runtime.value.healthcheck : undefined;
    if (behaviourOf(this.#task) === "missing") {
      this.#world.marks.add("images that cannot be had");
      return { kind: "prepare-failed", reason: "the image is not there" };
    }
    const check = planHealthCheck(wanted, {});
    return check === undefined ? { kind: "prepared" } : { kind: "prepared", check };
  }

  #start(attempt: number): void {
    if (this.#state.phase.kind !== "starting" || this.#state.attempt !== attempt) return;
    if (behaviourOf(this.#task) === "broken") this.#world.marks.add("containers that cannot start");
    const pid = this.#world.containers.start(this.#task, {
      nodeId: this.#host.nodeId,
      faulty: () => this.#world.faulty,
      onExit: (exitCode) => this.#onExit(exitCode),
    });
    this.#post({ kind: "started", pid });
  }

  #onExit(exitCode: number): void {
    if (exitCode === 1) this.#world.marks.add("containers crashed");
    if (!this.#isLookedAfter) return;
    const life = this.#life;
    this.#world.agenda.after(1, () => {
      if (life === this.#life) this.#post({ kind: "exited", exit: { exitCode, oomKilled: false } });
    });
  }

  #probed(): Event {
    const nowMs = this.#world.clock.now();
    const fails = behaviourOf(this.#task) === "sick" && this.#world.faulty;
    const exitCode = fails ? 1 : 0;
    return {
      kind: "probed",
      probe: { startedAtMs: nowMs, endedAtMs: nowMs, exitCode, output: "" },
    };
  }

  /** Most go at once, some take their time, few wait to be killed. */
  #stop(pid: number): void {
    const { agenda, random, containers } = this.#world;
    if (random.chance(0.95)) {
      agenda.after(random.between(1, 2_000), () => containers.end(pid, 143));
    }
    this.#after(graceMs, () => this.#post({ kind: "grace-over" }));
  }

  #after(ms: number, run: () => void): void {
    const life = this.#life;
    this.#world.agenda.after(Math.max(ms, 0), () => {
      if (life === this.#life) run();
    });
  }
}
