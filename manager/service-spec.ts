/** How a service gets another spec: by its user, or back to the one before. */
import { create } from "@bufbuild/protobuf";
import { type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { UpdateState, UpdateStatusSchema, VersionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";

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
