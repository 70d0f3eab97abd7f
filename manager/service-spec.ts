/** How many replicas a service shall have, and how it gets another spec: by its user, or back to the one before. */
import { create } from "@bufbuild/protobuf";
import { type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Autoscale,
  UpdateState,
  UpdateStatusSchema,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";

/** Of a replicated service: the spec's number, or what the autoscaler has found, within its bounds. Of all others 0. */
export function wantedReplicas({ spec, autoscaleStatus }: Service): number {
  if (spec?.mode.case !== "replicated") return 0;
  const { replicas } = spec.mode.value;
  const { autoscale } = spec;
  return Number(
    autoscale ? withinBounds(autoscaleStatus?.replicas ?? replicas, autoscale) : replicas,
  );
}

/** The most replicas that the spec may lead to. */
export function mostReplicas({ mode, autoscale }: ServiceSpec): number {
  if (mode.case !== "replicated") return 0;
  return Number(autoscale?.maxReplicas ?? mode.value.replicas);
}

function withinBounds(replicas: bigint, { minReplicas, maxReplicas }: Autoscale): bigint {
  if (replicas < minReplicas) return minReplicas;
  return replicas > maxReplicas ? maxReplicas : replicas;
}

/** The spec's version is the version that the update read: the one that it writes is not known before it is committed. */
export function withSpec(service: Service, spec: ServiceSpec): Service {
  const { previousSpec: _, previousSpecVersion: __, ...kept } = withoutUpdateStatus(service);
  return {
    ...kept,
    spec,
    specVersion: create(VersionSchema, { index: service.meta?.version?.index ?? 0n }),
    ...(service.spec === undefined ? {} : { previousSpec: service.spec }),
    ...(service.specVersion === undefined ? {} : { previousSpecVersion: service.specVersion }),
  };
}

/** Whatever is left to do is taken up as a new update. */
export function withoutUpdateStatus(service: Service): Service {
  const { updateStatus: _, ...kept } = service;
  return kept;
}

export interface Rollback {
  readonly spec: ServiceSpec;
  readonly message: string;
  readonly nowMs: number;
}

export function rolledBack(service: Service, { spec, message, nowMs }: Rollback): Service {
  const updateStatus = create(UpdateStatusSchema, {
    state: UpdateState.ROLLBACK_STARTED,
    startedAt: timestampFromMs(nowMs),
    message,
  });
  return { ...withSpec(service, spec), updateStatus };
}

/** So that a rollback that fails in its turn leads nowhere. */
export function withoutPrevious(service: Service): Service {
  const { previousSpec: _, previousSpecVersion: __, ...kept } = service;
  return kept;
}
