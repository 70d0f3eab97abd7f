/** How many replicas a service shall have, and how it gets another spec: by its user, or back to the one before. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Autoscale,
  type AutoscaleStatus,
  AutoscaleStatusSchema,
  UpdateState,
  UpdateStatusSchema,
  type Version,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { awaitsPromotion } from "./orchestrator/update-config.ts";

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

export interface Scaling {
  readonly service: Service;
  /** What the user sent: its replicas are how many there shall be now. */
  readonly spec: ServiceSpec;
  readonly nowMs: number;
}

/**
 * The service and its next spec, where a user says how many replicas of an autoscaled service there shall be now. The spec keeps
 * the number that it had, so that nothing but the service's use changes that number again: no later deployment of a file does.
 */
export function scaledByUser({ service, spec, nowMs }: Scaling): Omit<Scaling, "nowMs"> {
  const { autoscale, mode } = spec;
  const before = service.spec?.mode;
  if (autoscale === undefined || mode.case !== "replicated") return { service, spec };
  const { replicas } = mode.value;
  const { minReplicas, maxReplicas } = autoscale;
  if (replicas !== withinBounds(replicas, autoscale)) {
    const name = spec.annotations?.name ?? "";
    const message = `Cannot scale service "${name}" to ${replicas}: it is autoscaled from ${minReplicas} to ${maxReplicas} replicas; use a number between, or change --replicas-min or --replicas-max`;
    throw new Fault("invalid-argument", message);
  }
  const kept = { ...spec, mode: before?.case === "replicated" ? before : mode };
  if (wantedReplicas({ ...service, spec: kept }) === Number(replicas))
    return { service, spec: kept };
  const autoscaleStatus: AutoscaleStatus = {
    ...(service.autoscaleStatus ?? create(AutoscaleStatusSchema)),
    replicas,
    scaledAt: timestampFromMs(nowMs),
    message: `set to ${replicas} by a user`,
  };
  return { service: { ...service, autoscaleStatus }, spec: kept };
}

function withinBounds(replicas: bigint, { minReplicas, maxReplicas }: Autoscale): bigint {
  if (replicas < minReplicas) return minReplicas;
  return replicas > maxReplicas ? maxReplicas : replicas;
}

/** What there is to go back to is what was before; of an update with canaries that nobody promoted, what was before it. */
export function withSpec(service: Service, spec: ServiceSpec): Service {
  const { previousSpec, previousSpecVersion } = service;
  return awaitsPromotion(service)
    ? withBoth(service, spec, { spec: previousSpec, version: previousSpecVersion })
    : withPresentBefore(service, spec);
}

function withPresentBefore(service: Service, spec: ServiceSpec): Service {
  return withBoth(service, spec, { spec: service.spec, version: service.specVersion });
}

interface Before {
  readonly spec: ServiceSpec | undefined;
  readonly version: Version | undefined;
}

/** The spec's version is the version that the update read: the one that it writes is not known before it is committed. */
function withBoth(service: Service, spec: ServiceSpec, before: Before): Service {
  const kept = withoutPrevious(withoutUpdateStatus(service));
  return {
    ...kept,
    spec,
    specVersion: create(VersionSchema, { index: service.meta?.version?.index ?? 0n }),
    ...(before.spec === undefined ? {} : { previousSpec: before.spec }),
    ...(before.version === undefined ? {} : { previousSpecVersion: before.version }),
  };
}

/**
 * The service with a spec that changes no container, while an update is unfinished: what there is to go back to is still the
 * container of before, with the settings of now.
 */
export function withSettings(service: Service, spec: ServiceSpec): Service {
  const { previousSpec } = service;
  if (previousSpec === undefined) return { ...service, spec };
  const { task: _, endpoint: __, ...settings } = spec;
  const { task, endpoint } = previousSpec;
  const before: ServiceSpec = {
    ...settings,
    ...(task === undefined ? {} : { task }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
  return { ...service, spec, previousSpec: before };
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
  return { ...withPresentBefore(service, spec), updateStatus };
}

/** So that a rollback that fails in its turn leads nowhere. */
export function withoutPrevious(service: Service): Service {
  const { previousSpec: _, previousSpecVersion: __, ...kept } = service;
  return kept;
}
