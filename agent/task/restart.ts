/**
 * When a task's container that ended is started again: by the service's restart policy, and later and later while it
 * keeps ending quickly. Pure; what it must remember between attempts is the history that it is handed and returns.
 */
import { type RestartPolicy, RestartCondition } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";

export interface RestartHistory {
  /** When the task was restarted, oldest first: what max_attempts counts. */
  readonly restartsAtMs: readonly number[];
  /** Waited before the last restart, when the attempt before it was a quick failure; undefined after a healthy run. */
  readonly lastDelayMs?: number;
}

export const noRestarts: RestartHistory = { restartsAtMs: [] };

export interface EndedRun {
  readonly failed: boolean;
  /** How long it was up and, where it has a check, healthy. */
  readonly upMs: number;
  readonly endedAtMs: number;
}

export type RestartPlan =
  | { readonly restart: false }
  | { readonly restart: true; readonly delayMs: number; readonly history: RestartHistory };

export const restartDelayMsDefault = 5_000;

/** A run of this length counts as healthy: the next delay is the policy's again. */
export const healthyRunMs = 10_000;

const backoffMsMin = 100;
const backoffMsMax = 60_000;

/** A larger max_attempts counts as this: the times of so many restarts are remembered. */
const maxAttemptsMax = 1_000;

export function planRestart(
  policy: RestartPolicy | undefined,
  history: RestartHistory,
  run: EndedRun,
): RestartPlan {
  if (!conditionHolds(policy?.condition ?? RestartCondition.ANY, run.failed))
    return { restart: false };
  const windowMs = msFromDuration(policy?.window, 0);
  // What seems to come later was before the clock was put back: nobody knows how long.
  const counted = history.restartsAtMs.filter(
    (atMs) => windowMs <= 0 || (atMs > run.endedAtMs - windowMs && atMs <= run.endedAtMs),
  );
  const maxAttempts = Math.min(Number(policy?.maxAttempts ?? 0n), maxAttemptsMax);
  if (maxAttempts > 0 && counted.length >= maxAttempts) return { restart: false };
  const policyDelayMs = policyDelayMsOf(policy);
  const quick = run.upMs < healthyRunMs;
  const delayMs =
    quick && history.lastDelayMs !== undefined
      ? nextDelayMs(history.lastDelayMs, policyDelayMs)
      : policyDelayMs;
  const restartsAtMs = maxAttempts > 0 ? [...counted, run.endedAtMs] : [];
  return {
    restart: true,
    delayMs,
    history: quick ? { restartsAtMs, lastDelayMs: delayMs } : { restartsAtMs },
  };
}

/** No restart is ever further away. */
export function restartDelayMsMax(policy: RestartPolicy | undefined): number {
  return Math.max(backoffMsMax, policyDelayMsOf(policy));
}

function policyDelayMsOf(policy: RestartPolicy | undefined): number {
  return Math.max(0, msFromDuration(policy?.delay, restartDelayMsDefault));
}

function conditionHolds(condition: RestartCondition, failed: boolean): boolean {
  switch (condition) {
    case RestartCondition.NONE:
      return false;
    case RestartCondition.ON_FAILURE:
      return failed;
    default:
      return true;
  }
}

function nextDelayMs(lastMs: number, policyMs: number): number {
  const doubled = Math.max(backoffMsMin, lastMs * 2);
  return Math.min(doubled, Math.max(backoffMsMax, policyMs));
}
