/** Changes a service's spec, from the one that there is. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ControlClient } from "../context.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { changedMode } from "./mode-flags.ts";
import { modeWord } from "./words.ts";

export interface ChangeOptions {
  /** Have the image's tag resolved. */
  readonly queryRegistry?: boolean;
  /** The number of replicas is meant for now, also of a service that is autoscaled. */
  readonly scale?: boolean;
  readonly onWarnings?: (warnings: readonly string[]) => void;
}

/** The service that a manager answers with. */
export function answered({ service }: { readonly service?: Service | undefined }): Service {
  if (service === undefined) throw new Fault("internal", "The manager returned no service");
  return service;
}

export function changeService(
  control: ControlClient,
  ref: string,
  change: (spec: ServiceSpec) => ServiceSpec | Promise<ServiceSpec>,
  { queryRegistry = false, scale = false, onWarnings }: ChangeOptions = {},
): Promise<Service> {
  return retryConflicts(async () => {
    const service = answered(await control.getService({ ref }));
    const spec = await change(service.spec ?? create(ServiceSpecSchema));
    const version = service.meta?.version;
    const reply = await control.updateService({
      ref: service.id,
      spec,
      queryRegistry,
      scale,
      ...(version !== undefined && { version }),
    });
    onWarnings?.(reply.warnings);
    return reply.service ?? service;
  });
}

/** To the spec before its last change. */
export function rollBackService(control: ControlClient, ref: string): Promise<Service> {
  return retryConflicts(async () => {
    const service = answered(await control.getService({ ref }));
    const version = service.meta?.version;
    const request = { ref: service.id, rollback: true, ...(version !== undefined && { version }) };
    return (await control.updateService(request)).service ?? service;
  });
}

export function withReplicas(spec: ServiceSpec, replicas: bigint): ServiceSpec {
  if (spec.mode.case === "replicated" || spec.mode.case === "replicatedJob") {
    return { ...spec, mode: changedMode(spec.mode, { replicas }) };
  }
  const name = spec.annotations?.name ?? "";
  const problem = `Cannot scale "${name}": it is a ${modeWord(spec)} service, and only replicated ones have a number of replicas`;
  throw new Fault("failed-precondition", problem);
}
