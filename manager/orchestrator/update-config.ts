/** What governs a service's update: the service's settings, or those for rollbacks while it is on its way back. */
import { create } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  PublishMode,
  type UpdateConfig,
  UpdateConfigSchema,
  type UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";

const monitorMsDefault = 5_000;

/** As Kubernetes has it: longer than a pull of a large image takes. */
const deadlineMsDefault = 600_000;

export interface UpdateSettings {
  /** Infinity: all slots at once. */
  readonly parallelism: number;
  readonly delayMs: number;
  readonly monitorMs: number;
  /** Infinity: no limit. */
  readonly deadlineMs: number;
  readonly failureRatioMax: number;
  readonly failureAction: UpdateFailureAction;
  readonly startFirst: boolean;
}

export function updateSettings(service: Service): UpdateSettings {
  const { spec } = service;
  const given = isRollback(service) ? spec?.rollback : spec?.update;
  const config: UpdateConfig = given ?? create(UpdateConfigSchema, { parallelism: 1n });
  const deadlineMs = msFromDuration(config.progressDeadline, deadlineMsDefault);
  return {
    parallelism: config.parallelism === 0n ? Infinity : Number(config.parallelism),
    delayMs: msFromDuration(config.delay, 0),
    monitorMs: msFromDuration(config.monitor, monitorMsDefault),
    deadlineMs: deadlineMs === 0 ? Infinity : deadlineMs,
    failureRatioMax: config.maxFailureRatio,
    failureAction: config.failureAction,
    startFirst: config.order === UpdateOrder.START_FIRST && canOverlap(service),
  };
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
    updateStatus?.state === UpdateState.ROLLBACK_STARTED
  );
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
