/**
 * The life of a task on its node, as a pure state machine: step(state, event) → the next state and what is to be done.
 *
 *   accepted → preparing → ready → starting → (checking →) running ─┐
 *                                      ▲                    │       │ exit, and the policy says again
 *                                      └────────────────────┼── waiting
 *                                                           ▼
 *   any of them, told to stop, unhealthy or at its end: (draining → stopping →) ending → ended
 *
 * With a health check a container is "checking", which users see as STARTING, until it is healthy. One that ran leaves DNS
 * first, is "draining" while that becomes known, and only then gets its stop signal. Between two attempts a task is
 * "waiting"; it says READY with the number of the attempt to come, so that (attempt, state), which managers order statuses
 * by, only grows. "ending" releases what the task holds; "ended" is final.
 */
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { RestartPolicy } from "#proto/gen/swarm/v1/types_pb.ts";
import type { HealthCheck } from "../health/health-check.ts";
import {
  type Health,
  type HealthEvent,
  initialHealth,
  nextProbeMs,
  stepHealth,
  unhealthyReason,
} from "../health/health.ts";
import { exitReason } from "./exit-reason.ts";
import { noRestarts, planRestart, type RestartHistory, restartDelayMsMax } from "./restart.ts";

/** What the managers want of the task here. */
export type Desired = "ready" | "running" | "stopped";

export type Phase =
  | { readonly kind: "accepted" }
  | { readonly kind: "preparing" }
  | { readonly kind: "ready" }
  | { readonly kind: "starting"; readonly sinceMs: number }
  | ({ readonly kind: "checking" } & Live)
  | ({ readonly kind: "running" } & Live)
  | ({ readonly kind: "draining" } & Live)
  | ({ readonly kind: "stopping" } & Live)
  | { readonly kind: "waiting"; readonly untilMs: number; readonly released: boolean }
  | { readonly kind: "ending"; readonly outcome: Outcome; readonly shown: TaskState }
  | { readonly kind: "ended"; readonly outcome: Outcome };

/** A container that lives. */
export interface Live {
  /** When its start began. */
  readonly sinceMs: number;
  /** Since when it is RUNNING: up and, where it has a check, healthy; 0: it never was. */
  readonly upSinceMs: number;
  readonly pid: number;
  /** Why it is being stopped although it is wanted; empty where it is not. */
  readonly fault: string;
}

export type Outcome = "complete" | "shutdown" | "failed" | "rejected";

export interface EndedAttempt {
  readonly number: number;
  readonly startedAtMs: number;
  /** When it became RUNNING; 0: it never was. */
  readonly upAtMs: number;
  readonly endedAtMs: number;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly reason: string;
}

export interface State {
  readonly phase: Phase;
  readonly desired: Desired;
  /** Of the container that runs, is about to or did last; 0 before the first start. */
  readonly attempt: number;
  /** The last ones that ended, oldest first. */
  readonly attempts: readonly EndedAttempt[];
  readonly restarts: RestartHistory;
  /** Known once the task is prepared: what the service and its image want checked. */
  readonly check?: HealthCheck;
  /** Of the attempt that lives or did last. */
  readonly health?: Health;
  readonly changedAtMs: number;
  readonly message: string;
  readonly err: string;
}

export const attemptsKept = 5;

/** An attempt's end: the container's exit, or that there was none to be had. */
export interface Exit {
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Instead of the words that follow from the exit code. */
  readonly reason?: string;
}

export type Event =
  | { readonly kind: "begun" }
  /** The program was started again. What it found of the attempt, if the attempt could have been running. */
  | { readonly kind: "recovered"; readonly found?: Recovered }
  | { readonly kind: "desired"; readonly desired: Desired }
  | { readonly kind: "progress"; readonly message: string }
  | { readonly kind: "prepared"; readonly check?: HealthCheck }
  | { readonly kind: "prepare-failed"; readonly reason: string }
  | { readonly kind: "started"; readonly pid: number }
  | HealthEvent
  | { readonly kind: "exited"; readonly exit: Exit }
  | { readonly kind: "drained" }
  | { readonly kind: "grace-over" }
  | { readonly kind: "released" }
  /** It is tried again. */
  | { readonly kind: "release-failed"; readonly reason: string }
  | { readonly kind: "due" };

export type Recovered =
  | { readonly kind: "running"; readonly pid: number }
  | { readonly kind: "exited"; readonly exit: Exit };

export type Effect =
  | { readonly kind: "prepare" }
  | { readonly kind: "start"; readonly attempt: number }
  /** Runs the health check after so long. */
  | { readonly kind: "probe"; readonly inMs: number }
  /** Waits while the others learn that it does not answer to its names any more. */
  | { readonly kind: "drain"; readonly ms: number }
  | { readonly kind: "stop"; readonly pid: number }
  | { readonly kind: "kill"; readonly pid: number }
  /** Clears away the attempt that ended; `final`: and all else that the task holds but its log. */
  | { readonly kind: "release"; readonly final: boolean }
  | { readonly kind: "wait"; readonly untilMs: number };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export interface StepContext {
  readonly nowMs: number;
  readonly policy: RestartPolicy | undefined;
  /** How long a task stays between leaving DNS and the stop signal; 0 for one that has no names. */
  readonly drainMs: number;
  /** 0: none. */
  readonly memoryLimitBytes: number;
}

export function initialState(desired: Desired, nowMs: number): State {
  return {
    phase: { kind: "accepted" },
    desired,
    attempt: 0,
    attempts: [],
    restarts: noRestarts,
    changedAtMs: nowMs,
    message: "accepted",
    err: "",
  };
}

/** An event that the phase does not expect came late and changes nothing. */
export function step(state: State, event: Event, context: StepContext): Step {
  if (state.phase.kind === "ended") return stay(state);
  switch (event.kind) {
    case "begun":
      return state.phase.kind === "accepted" ? onBegun(state, context) : stay(state);
    case "recovered":
      return onRecovered(state, event.found, context);
    case "desired":
      return onDesired(state, event.desired, context);
    case "progress":
      return state.phase.kind === "preparing"
        ? stay({ ...state, message: event.message, changedAtMs: context.nowMs })
        : stay(state);
    case "prepared":
      return state.phase.kind === "preparing"
        ? onPrepared(state, event.check, context)
        : stay(state);
    case "prepare-failed":
      return state.phase.kind === "preparing"
        ? end({ ...state, err: event.reason }, "rejected", context)
        : stay(state);
    case "started":
      return state.phase.kind === "starting" ? onStarted(state, event.pid, context) : stay(state);
    case "probed":
    case "not-probed":
      return onProbed(state, event, context);
    case "exited":
      return onExited(state, event.exit, context);
    case "drained":
      return state.phase.kind === "draining"
        ? signalStop(state, state.phase, context)
        : stay(state);
    case "grace-over":
      return state.phase.kind === "stopping"
        ? { state, effects: [{ kind: "kill", pid: state.phase.pid }] }
        : stay(state);
    case "released":
      return onReleased(state, context);
    case "release-failed":
      return onReleaseFailed(state, event.reason, context);
    case "due":
      return onDue(state, context);
  }
}

function onBegun(state: State, context: StepContext): Step {
  if (state.desired === "stopped") return end(state, "shutdown", context);
  const next = enter(state, { kind: "preparing" }, "preparing", context);
  return { state: next, effects: [{ kind: "prepare" }] };
}

function onPrepared(state: State, check: HealthCheck | undefined, context: StepContext): Step {
  const known = check === undefined ? state : { ...state, check };
  const ready = enter(known, { kind: "ready" }, "ready", context);
  return ready.desired === "running" ? start(ready, context) : stay(ready);
}

function onDesired(state: State, desired: Desired, context: StepContext): Step {
  // "stopped" is for good, and what once was to run is not made to wait again.
  if (state.desired === "stopped" || desired === state.desired || desired === "ready") {
    return stay(state);
  }
  const next: State = { ...state, desired };
  if (desired === "running") return next.phase.kind === "ready" ? start(next, context) : stay(next);
  switch (next.phase.kind) {
    case "starting": // the container is stopped as soon as it is there
    case "draining": // as unhealthy
    case "stopping":
    case "ending":
      return stay(next);
    case "checking":
    case "running":
      return stop(next, next.phase, context);
    default:
      return end(next, "shutdown", context);
  }
}

function start(state: State, context: StepContext): Step {
  // While waiting, the attempt to come has its number already.
  const attempt = state.phase.kind === "waiting" ? state.attempt : state.attempt + 1;
  const phase = { kind: "starting", sinceMs: context.nowMs } as const;
  const next = enter({ ...state, attempt }, phase, "starting", context);
  return { state: next, effects: [{ kind: "start", attempt }] };
}

function onStarted(state: State, pid: number, context: StepContext): Step {
  const { nowMs } = context;
  const sinceMs = state.phase.kind === "starting" ? state.phase.sinceMs : nowMs;
  const live = { sinceMs, upSinceMs: 0, pid, fault: "" };
  if (state.desired === "stopped") return stop({ ...state, err: "" }, live, context);
  if (state.check === undefined) {
    const up = { kind: "running", ...live, upSinceMs: nowMs } as const;
    return stay(enter({ ...state, err: "" }, up, "running", context));
  }
  const next = { ...state, health: initialHealth(nowMs) };
  return probe(enter(next, { kind: "checking", ...live }, checking, context), context);
}

const checking = "waiting for the health check";

/** Health changes only while it is asked for: what comes from an earlier attempt, or too late, says nothing. */
function onProbed(state: State, event: HealthEvent, context: StepContext): Step {
  const { phase, check } = state;
  if (phase.kind !== "checking" && phase.kind !== "running") return stay(state);
  if (check === undefined || state.health === undefined) return stay(state);
  const health = stepHealth(state.health, event, check);
  const next: State = { ...state, health };
  if (health.status === "unhealthy") {
    const fault = unhealthyReason(health);
    return stop({ ...next, err: fault }, { ...phase, fault }, context);
  }
  if (health.status !== "healthy" || phase.kind === "running") return probe(next, context);
  const up = { ...phase, kind: "running", upSinceMs: context.nowMs } as const;
  return probe(enter({ ...next, err: "" }, up, "running", context), context);
}

function probe(state: State, { nowMs }: StepContext): Step {
  const { check, health } = state;
  if (check === undefined || health === undefined) return stay(state);
  return { state, effects: [{ kind: "probe", inMs: nextProbeMs(health, check, nowMs) }] };
}

/** Nobody was sent to a container that was never up. */
function stop(state: State, live: Live, context: StepContext): Step {
  if (live.upSinceMs === 0 || context.drainMs === 0) return signalStop(state, live, context);
  const next = enter(state, { ...live, kind: "draining" }, "leaving DNS", context);
  return { state: next, effects: [{ kind: "drain", ms: context.drainMs }] };
}

function signalStop(state: State, live: Live, context: StepContext): Step {
  const next = enter(state, { ...live, kind: "stopping" }, "stopping", context);
  return { state: next, effects: [{ kind: "stop", pid: live.pid }] };
}

function onExited(state: State, exit: Exit, context: StepContext): Step {
  const { phase } = state;
  if (phase.kind !== "starting" && !isLive(phase)) return stay(state);
  const { fault, upSinceMs } = isLive(phase) ? phase : neverUp;
  const ended: EndedAttempt = {
    number: state.attempt,
    startedAtMs: phase.sinceMs,
    upAtMs: upSinceMs,
    endedAtMs: context.nowMs,
    exitCode: exit.exitCode,
    oomKilled: exit.oomKilled,
    reason: fault || (exit.reason ?? exitReason(exit, context.memoryLimitBytes)),
  };
  const next = { ...state, attempts: [...state.attempts, ended].slice(-attemptsKept) };
  if (state.desired === "stopped") return end(next, "shutdown", context);
  const failed = exit.exitCode !== 0 || fault !== "";
  const upMs = upSinceMs === 0 ? 0 : context.nowMs - upSinceMs;
  const plan = planRestart(context.policy, state.restarts, {
    failed,
    upMs,
    endedAtMs: context.nowMs,
  });
  if (!plan.restart) {
    return end(
      { ...next, err: failed ? ended.reason : "" },
      failed ? "failed" : "complete",
      context,
    );
  }
  const waiting = {
    kind: "waiting",
    untilMs: context.nowMs + plan.delayMs,
    released: false,
  } as const;
  const message = `restarting in ${plan.delayMs / 1000} s`;
  return {
    state: enter(
      { ...next, attempt: state.attempt + 1, restarts: plan.history, err: ended.reason },
      waiting,
      message,
      context,
    ),
    effects: [{ kind: "release", final: false }],
  };
}

const neverUp = { fault: "", upSinceMs: 0 } as const;

function onReleased(state: State, context: StepContext): Step {
  const { phase } = state;
  if (phase.kind === "ending") {
    const { outcome } = phase;
    return stay(enter(state, { kind: "ended", outcome }, messageOf[outcome], context));
  }
  if (phase.kind !== "waiting" || phase.released) return stay(state);
  const next: State = { ...state, phase: { ...phase, released: true } };
  if (phase.untilMs <= context.nowMs) return start(next, context);
  // Where the clock was put back while this program was away.
  const untilMs = Math.min(phase.untilMs, context.nowMs + restartDelayMsMax(context.policy));
  return { state: next, effects: [{ kind: "wait", untilMs }] };
}

/** In the message: the error of a task is why its container ended, which is still so when the release succeeds. */
function onReleaseFailed(state: State, reason: string, context: StepContext): Step {
  const { phase } = state;
  const isReleasing = phase.kind === "ending" || (phase.kind === "waiting" && !phase.released);
  return stay(isReleasing ? enter(state, phase, `trying again: ${reason}`, context) : state);
}

function onDue(state: State, context: StepContext): Step {
  return state.phase.kind === "waiting" && state.phase.released
    ? start(state, context)
    : stay(state);
}

/** Takes up what an earlier run of this program left: its effects are gone, its state is on disk. */
function onRecovered(state: State, found: Recovered | undefined, context: StepContext): Step {
  const { phase } = state;
  switch (phase.kind) {
    case "accepted":
      return onBegun(state, context);
    case "preparing":
      return { state, effects: [{ kind: "prepare" }] };
    case "waiting":
      return {
        state: { ...state, phase: { ...phase, released: false } },
        effects: [{ kind: "release", final: false }],
      };
    case "ending":
      return { state, effects: [{ kind: "release", final: true }] };
    case "starting":
    case "checking":
    case "running":
    case "draining":
    case "stopping":
      return found === undefined ? stay(state) : onFound(state, found, context);
    default:
      return stay(state);
  }
}

function onFound(state: State, found: Recovered, context: StepContext): Step {
  if (found.kind === "exited") return onExited(state, found.exit, context);
  switch (state.phase.kind) {
    case "starting":
      return onStarted(state, found.pid, context);
    case "draining":
      return { state, effects: [{ kind: "drain", ms: context.drainMs }] };
    case "stopping":
      return { state, effects: [{ kind: "stop", pid: found.pid }] };
    default:
      return probe(state, context);
  }
}

function end(state: State, outcome: Outcome, context: StepContext): Step {
  const phase = { kind: "ending", outcome, shown: shownState(state) } as const;
  return {
    state: enter(state, phase, state.message, context),
    effects: [{ kind: "release", final: true }],
  };
}

export function isLive(phase: Phase): phase is Extract<Phase, Live> {
  switch (phase.kind) {
    case "checking":
    case "running":
    case "draining":
    case "stopping":
      return true;
    default:
      return false;
  }
}

function enter(state: State, phase: Phase, message: string, context: StepContext): State {
  return { ...state, phase, message, changedAtMs: context.nowMs };
}

function stay(state: State): Step {
  return { state, effects: [] };
}

const messageOf: Readonly<Record<Outcome, string>> = {
  complete: "finished",
  shutdown: "shutdown",
  failed: "failed",
  rejected: "rejected",
};

const stateOf: Readonly<Record<Outcome, TaskState>> = {
  complete: TaskState.COMPLETE,
  shutdown: TaskState.SHUTDOWN,
  failed: TaskState.FAILED,
  rejected: TaskState.REJECTED,
};

/** What managers and users see of the phase. */
export function shownState({ phase }: Pick<State, "phase">): TaskState {
  switch (phase.kind) {
    case "accepted":
      return TaskState.ACCEPTED;
    case "preparing":
      return TaskState.PREPARING;
    case "ready":
    case "waiting":
      return TaskState.READY;
    case "starting":
    case "checking":
      return TaskState.STARTING;
    case "running":
    case "draining":
      return TaskState.RUNNING;
    case "stopping":
      return phase.upSinceMs === 0 ? TaskState.STARTING : TaskState.RUNNING;
    case "ending":
      return phase.shown;
    case "ended":
      return stateOf[phase.outcome];
  }
}
