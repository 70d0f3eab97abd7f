/** Changes a service's spec, from the one that there is. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ControlClient } from "../context.ts";
import { retryConflicts } from "../retry-conflicts.ts";

export interface ChangeOptions {
  /** Have the image's tag resolved. */
  readonly queryRegistry?: boolean;
  readonly onWarnings?: (warnings: readonly string[]) => void;
}

export function changeService(
  control: ControlClient,
  ref: string,
  change: (spec: ServiceSpec) => ServiceSpec | Promise<ServiceSpec>,
  { queryRegistry = false, onWarnings }: ChangeOptions = {},
): Promise<Service> {
  return retryConflicts(async () => {
    const { service } = await control.getService({ ref });
    if (service === undefined) throw new Fault("internal", "The manager returned no service");
    const spec = await change(service.spec ?? create(ServiceSpecSchema));
    const version = service.meta?.version;
    const reply = await control.updateService({
      ref: service.id,
      spec,
      queryRegistry,
      ...(version !== undefined && { version }),
    });
    onWarnings?.(reply.warnings);
    return reply.service ?? service;
  });
}

/** To the spec before its last change. */
export function rollBackService(control: ControlClient, ref: string): Promise<Service> {
  return retryConflicts(async () => {
    const { service } = await control.getService({ ref });
    if (service === undefined) throw new Fault("internal", "The manager returned no service");
    const version = service.meta?.version;
    const request = { ref: service.id, rollback: true, ...(version !== undefined && { version }) };
    return (await control.updateService(request)).service ?? service;
  });
}

export function withReplicas(spec: ServiceSpec, replicas: bigint): ServiceSpec {
  if (spec.mode.case !== "replicated") {
    const name = spec.annotations?.name ?? "";
    throw new Fault(
      "failed-precondition",
      `Cannot scale "${name}": it is not a replicated service`,
    );
  }
  const mode: ServiceSpec["mode"] = { case: "replicated", value: { ...spec.mode.value, replicas } };
  return { ...spec, mode };
}
