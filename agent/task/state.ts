/**
 * The life of a task on its node, as a pure state machine: step(state, event) → the next state and what is to be done.
 *
 *   accepted → preparing → ready → starting → running ─┐
 *                            ▲         ▲        │      │ exit, and the policy says again
 *                            │         └────────┼── waiting
 *                            │                  ▼
 *   any of them, told to stop or at its end: (stopping →) ending → ended
 *
 * Between two attempts a task is "waiting"; it says READY with the number of the attempt to come, so that
 * (attempt, state), which managers order statuses by, only grows. "ending" releases what the task holds; "ended" is final.
 */
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { RestartPolicy } from "#proto/gen/swarm/v1/types_pb.ts";
import { noRestarts, planRestart, type RestartHistory } from "./restart.ts";

/** What the managers want of the task here. */
export type Desired = "ready" | "running" | "stopped";

export type Phase =
  | { readonly kind: "accepted" }
  | { readonly kind: "preparing" }
  | { readonly kind: "ready" }
  | { readonly kind: "starting"; readonly sinceMs: number }
  | { readonly kind: "running"; readonly sinceMs: number; readonly pid: number }
  | { readonly kind: "stopping"; readonly sinceMs: number; readonly pid: number }
  | { readonly kind: "waiting"; readonly untilMs: number; readonly released: boolean }
  | { readonly kind: "ending"; readonly outcome: Outcome; readonly shown: TaskState }
  | { readonly kind: "ended"; readonly outcome: Outcome };

export type Outcome = "complete" | "shutdown" | "failed" | "rejected";

export interface EndedAttempt {
  readonly number: number;
  readonly startedAtMs: number;
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
  | { readonly kind: "prepared" }
  | { readonly kind: "prepare-failed"; readonly reason: string }
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "exited"; readonly exit: Exit }
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
      return state.phase.kind === "preparing" ? onPrepared(state, context) : stay(state);
    case "prepare-failed":
      return state.phase.kind === "preparing"
        ? end({ ...state, err: event.reason }, "rejected", context)
        : stay(state);
    case "started":
      return state.phase.kind === "starting" ? onStarted(state, event.pid, context) : stay(state);
    case "exited":
      return onExited(state, event.exit, context);
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

function onPrepared(state: State, context: StepContext): Step {
  const ready = enter(state, { kind: "ready" }, "ready", context);
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
    case "ending":
      return stay(next);
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
  const phase = { kind: "running", sinceMs: context.nowMs, pid } as const;
  const next = enter({ ...state, err: "" }, phase, "running", context);
  return next.desired === "stopped" ? stop(next, phase, context) : stay(next);
}

function stop(
  state: State,
  { pid, sinceMs }: { readonly pid: number; readonly sinceMs: number },
  context: StepContext,
): Step {
  const next = enter(state, { kind: "stopping", pid, sinceMs }, "stopping", context);
  return { state: next, effects: [{ kind: "stop", pid }] };
}

function onExited(state: State, exit: Exit, context: StepContext): Step {
  const { phase } = state;
  if (phase.kind !== "starting" && phase.kind !== "running" && phase.kind !== "stopping") {
    return stay(state);
  }
  const ended: EndedAttempt = {
    number: state.attempt,
    startedAtMs: phase.sinceMs,
    endedAtMs: context.nowMs,
    exitCode: exit.exitCode,
    oomKilled: exit.oomKilled,
    reason: exit.reason ?? exitReason(exit),
  };
  const next = { ...state, attempts: [...state.attempts, ended].slice(-attemptsKept) };
  if (state.desired === "stopped") return end(next, "shutdown", context);
  const failed = exit.exitCode !== 0;
  const plan = planRestart(context.policy, state.restarts, { ...ended, failed });
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

function onReleased(state: State, context: StepContext): Step {
  const { phase } = state;
  if (phase.kind === "ending") {
    const { outcome } = phase;
    return stay(enter(state, { kind: "ended", outcome }, messageOf[outcome], context));
  }
  if (phase.kind !== "waiting" || phase.released) return stay(state);
  const next: State = { ...state, phase: { ...phase, released: true } };
  if (phase.untilMs <= context.nowMs) return start(next, context);
  return { state: next, effects: [{ kind: "wait", untilMs: phase.untilMs }] };
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
    case "running":
    case "stopping":
      return found === undefined ? stay(state) : onFound(state, found, context);
    default:
      return stay(state);
  }
}

function onFound(state: State, found: Recovered, context: StepContext): Step {
  if (found.kind === "exited") return onExited(state, found.exit, context);
  if (state.phase.kind === "starting") return onStarted(state, found.pid, context);
  if (state.phase.kind === "stopping")
    return { state, effects: [{ kind: "stop", pid: found.pid }] };
  return stay(state);
}

function end(state: State, outcome: Outcome, context: StepContext): Step {
  const phase = { kind: "ending", outcome, shown: shownState(state) } as const;
  return {
    state: enter(state, phase, state.message, context),
    effects: [{ kind: "release", final: true }],
  };
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
      return TaskState.STARTING;
    case "running":
    case "stopping":
      return TaskState.RUNNING;
    case "ending":
      return phase.shown;
    case "ended":
      return stateOf[phase.outcome];
  }
}

/** The signals' names by number, as Linux has them on x86 and ARM (signal(7)); the rest are shown as numbers. */
const signalNames: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};

/** A shell's convention, which conmon follows: 128 and the signal's number. */
export function exitReason({ exitCode, oomKilled }: Exit): string {
  if (oomKilled) return "killed by the kernel: out of memory";
  const name = signalNames[exitCode - 128];
  return name === undefined ? `exit code ${exitCode}` : `killed by ${name} (${exitCode - 128})`;
}
