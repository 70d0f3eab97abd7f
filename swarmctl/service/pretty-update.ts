/** How a service's tasks are replaced, and how far its last update is, for people. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type UpdateConfig,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration, msFromTimestamp } from "#proto/time.ts";
import { formatAgo } from "../output/age.ts";
import type { Line } from "./pretty-lines.ts";

const stateWords: Readonly<Record<number, string>> = {
  [UpdateState.UPDATING]: "updating",
  [UpdateState.PAUSED]: "paused",
  [UpdateState.COMPLETED]: "completed",
  [UpdateState.ROLLBACK_STARTED]: "rollback_started",
  [UpdateState.ROLLBACK_PAUSED]: "rollback_paused",
  [UpdateState.ROLLBACK_COMPLETED]: "rollback_completed",
  [UpdateState.CANARY]: "canary",
};

const actionWords: Readonly<Record<number, string>> = {
  [UpdateFailureAction.PAUSE]: "pause",
  [UpdateFailureAction.CONTINUE]: "continue",
  [UpdateFailureAction.ROLLBACK]: "rollback",
};

const monitorMsDefault = 5_000;
const deadlineMsDefault = 600_000;

export function updateStatusLines({ updateStatus }: Service, nowMs: number): Line[] {
  const word = stateWords[updateStatus?.state ?? UpdateState.UNKNOWN];
  if (updateStatus === undefined || word === undefined) return [];
  const { startedAt, completedAt, message } = updateStatus;
  return [
    [0, "UpdateStatus"],
    [1, "State", word],
    ...(startedAt === undefined ? [] : [[1, "Started", ago(startedAt, nowMs)] as const]),
    ...(completedAt === undefined ? [] : [[1, "Completed", ago(completedAt, nowMs)] as const]),
    [1, "Message", message],
  ];
}

export function updateConfigLines({ spec }: Service): Line[] {
  return [
    ...configLines("UpdateConfig", "Update order", spec?.update),
    ...configLines("RollbackConfig", "Rollback order", spec?.rollback),
  ];
}

function configLines(title: string, orderKey: string, config: UpdateConfig | undefined): Line[] {
  const order = config?.order === UpdateOrder.START_FIRST ? "start-first" : "stop-first";
  const delayMs = msFromDuration(config?.delay, 0);
  const deadlineMs = msFromDuration(config?.progressDeadline, deadlineMsDefault);
  return [
    [0, title],
    [1, "Parallelism", `${config?.parallelism ?? 1n}`],
    ...(delayMs === 0 ? [] : [[1, "Delay", seconds(delayMs)] as const]),
    [1, "On failure", actionWord(config)],
    [1, "Monitoring Period", seconds(msFromDuration(config?.monitor, monitorMsDefault))],
    [1, "Max failure ratio", `${Number((config?.maxFailureRatio ?? 0).toFixed(6))}`],
    [1, orderKey, order],
    ...canaryLines(config),
    [1, "Progress deadline", deadlineMs === 0 ? "none" : seconds(deadlineMs)],
  ];
}

/** Unset it is not the same for canaries. */
function actionWord(config: UpdateConfig | undefined): string {
  const action = config?.failureAction;
  if (action !== undefined) return actionWords[action] ?? "";
  return (config?.canary ?? 0n) === 0n ? "pause" : "pause; of canaries rollback";
}

function canaryLines(config: UpdateConfig | undefined): Line[] {
  const { canary = 0n, canaryPromoteAfter } = config ?? {};
  if (canary === 0n) return [];
  const after =
    canaryPromoteAfter === undefined
      ? "by a user"
      : `after ${seconds(msFromDuration(canaryPromoteAfter, 0))}`;
  return [
    [1, "Canaries", `${canary}`],
    [1, "Promoted", after],
  ];
}

function ago(at: Parameters<typeof msFromTimestamp>[0], nowMs: number): string {
  return formatAgo(msFromTimestamp(at), nowMs);
}

function seconds(ms: number): string {
  return `${ms / 1000}s`;
}
