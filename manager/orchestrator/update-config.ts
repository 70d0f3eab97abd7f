/** What governs a service's update: the service's settings, or those for rollbacks while it is on its way back. */
import { create } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  PublishMode,
  type UpdateConfig,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { waitsForOthers } from "./new-task.ts";

const monitorMsDefault = 5_000;

/** As Kubernetes has it: longer than a pull of a large image takes. */
const deadlineMsDefault = 600_000;

/** How many places may change at a time, and how each does. */
export interface TurnSettings {
  /** Infinity: all slots at once. */
  readonly parallelism: number;
  readonly startFirst: boolean;
}

export interface UpdateSettings extends TurnSettings {
  readonly delayMs: number;
  readonly monitorMs: number;
  /** Infinity: no limit. */
  readonly deadlineMs: number;
  readonly failureRatioMax: number;
  readonly failureAction: UpdateFailureAction;
}

export function updateSettings(service: Service): UpdateSettings {
  const { spec } = service;
  const config = given(isRollback(service) ? spec?.rollback : spec?.update);
  const deadlineMs = msFromDuration(config.progressDeadline, deadlineMsDefault);
  const canaries = awaitsPromotion(service);
  return {
    ...turnsOf(service, config),
    delayMs: msFromDuration(config.delay, 0),
    // A canary is on trial until it is promoted.
    monitorMs: canaries ? Infinity : msFromDuration(config.monitor, monitorMsDefault),
    deadlineMs: deadlineMs === 0 || waitsForOthers(service) ? Infinity : deadlineMs,
    failureRatioMax: config.maxFailureRatio,
    failureAction: config.failureAction ?? UpdateFailureAction[canaries ? "ROLLBACK" : "PAUSE"],
  };
}

/** How tasks leave a node, whatever its service's update is doing. */
export function moveSettings(service: Service): TurnSettings {
  return turnsOf(service, given(service.spec?.update));
}

function given(config: UpdateConfig | undefined): UpdateConfig {
  return config ?? create(UpdateConfigSchema, { parallelism: 1n });
}

function turnsOf(service: Service, { parallelism, order }: UpdateConfig): TurnSettings {
  return {
    parallelism: parallelism === 0n ? Infinity : Number(parallelism),
    startFirst: order === UpdateOrder.START_FIRST && canOverlap(service),
  };
}

/** How many places the update may change before it is promoted. */
export function canariesMax({ spec }: Service): number {
  return Number(spec?.update?.canary ?? 0n);
}

/** From when all canaries run well until the update promotes itself; undefined: it does not. */
export function promoteAfterMs({ spec }: Service): number | undefined {
  const after = spec?.update?.canaryPromoteAfter;
  return after === undefined ? undefined : msFromDuration(after, 0);
}

/** Only some places are of the new spec until somebody says that all shall be. */
export function awaitsPromotion(service: Service): boolean {
  const { updateStatus, previousSpec } = service;
  const state = updateStatus?.state;
  const unfinished =
    state === UpdateState.UPDATING || state === UpdateState.CANARY || state === UpdateState.PAUSED;
  return (
    unfinished &&
    !updateStatus?.promoted &&
    canariesMax(service) > 0 &&
    previousSpec?.task !== undefined
  );
}

export function isRollback({ updateStatus }: Service): boolean {
  return (
    updateStatus?.state === UpdateState.ROLLBACK_STARTED ||
    updateStatus?.state === UpdateState.ROLLBACK_PAUSED ||
    updateStatus?.state === UpdateState.ROLLBACK_COMPLETED
  );
}

/** Whether the supervisor has something to do for it. */
export function isUpdating({ updateStatus }: Service): boolean {
  return (
    updateStatus?.state === UpdateState.UPDATING ||
    updateStatus?.state === UpdateState.CANARY ||
    updateStatus?.state === UpdateState.ROLLBACK_STARTED
  );
}

/** Whether its tasks must be looked at together, because what one may do depends on the others. */
export function takesTurns(service: Service): boolean {
  return isUpdating(service) || awaitsPromotion(service);
}

export function isPaused({ updateStatus }: Service): boolean {
  return (
    updateStatus?.state === UpdateState.PAUSED ||
    updateStatus?.state === UpdateState.ROLLBACK_PAUSED
  );
}

/** A host's port and a slot's own address cannot be had twice: their new task would wait for ever for the old one to go. */
function canOverlap({ spec }: Service): boolean {
  const ports = spec?.endpoint?.ports ?? [];
  const networks = spec?.task?.networks ?? [];
  return (
    ports.every(({ publishMode }) => publishMode !== PublishMode.HOST) &&
    networks.every(({ addresses }) => addresses.length === 0)
  );
}
