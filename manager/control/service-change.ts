/**
 * What a service is after its user's request. Pure: the same function says it for a dry run and writes it, and a
 * transaction that is built anew asks again.
 */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Service, ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { EndpointSpecSchema, VersionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { asCreated, asUpdated, isJob } from "../job.ts";
import { sameSpec } from "../orchestrator/same-spec.ts";
import { isPaused, isUpdating } from "../orchestrator/update-config.ts";
import { keepLogin } from "../registry-login.ts";
import {
  rolledBack,
  scaledByUser,
  withoutUpdateStatus,
  withSettings,
  withSpec,
} from "../service-spec.ts";
import { validateServiceSpec } from "../spec/validate-service.ts";
import type { View } from "../store/store.ts";

interface ChangeContext {
  readonly view: View;
  readonly nowMs: number;
}

export function createdService(
  id: string,
  wish: ServiceSpec | undefined,
  { view, nowMs }: ChangeContext,
): Service {
  const spec = validateServiceSpec(wish, view);
  const name = spec.annotations?.name ?? "";
  if (view.byName("service", name) !== undefined) {
    throw new Fault("already-exists", `a service named "${name}" exists already`);
  }
  const specVersion = create(VersionSchema, { index: 0n });
  return asCreated(create(ServiceSchema, { id, spec, specVersion }), nowMs);
}

interface Wish {
  readonly spec: ServiceSpec | undefined;
  /** Its replicas are how many there shall be now. */
  readonly scale: boolean;
}

/** The very same object where nothing changes. */
export function updatedService(
  stored: Service,
  wish: Wish,
  { view, nowMs }: ChangeContext,
): Service {
  const given = validateServiceSpec(wish.spec, view, stored.id);
  refuseIdentityChange(stored, given);
  const sent = { service: stored, spec: keepLogin(given, stored.spec) };
  const { service, spec } = wish.scale ? scaledByUser({ ...sent, nowMs }) : sent;
  // An update that changes nothing leaves the service, and the spec that a rollback returns to, as they are; but one
  // that was paused goes on.
  if (service.spec !== undefined && equals(ServiceSpecSchema, spec, service.spec)) {
    return isPaused(service) ? withoutUpdateStatus(service) : service;
  }
  return asUpdated(service, withNext(service, spec), nowMs);
}

function withNext(service: Service, spec: ServiceSpec): Service {
  const unfinished = isUpdating(service) || isPaused(service);
  if (!unfinished || !hasSameContainers(service.spec, spec)) return withSpec(service, spec);
  const settled = withSettings(service, spec);
  return isPaused(service) ? withoutUpdateStatus(settled) : settled;
}

/** Whether an update from the one to the other would replace no task. */
function hasSameContainers(before: ServiceSpec | undefined, after: ServiceSpec): boolean {
  const [was, is] = [before?.endpoint, after.endpoint].map(
    (endpoint) => endpoint ?? create(EndpointSpecSchema),
  );
  return (
    sameSpec(before?.task, after.task) === "same" &&
    was !== undefined &&
    is !== undefined &&
    equals(EndpointSpecSchema, was, is)
  );
}

/** Validated anew: what it refers to may be gone, and its ports another service's. */
export function rolledBackService(service: Service, { view, nowMs }: ChangeContext): Service {
  const name = service.spec?.annotations?.name ?? "";
  if (service.previousSpec === undefined) {
    const message = `Cannot roll back service "${name}": there is no spec before the present one`;
    throw new Fault("failed-precondition", message);
  }
  const spec = validateServiceSpec(service.previousSpec, view, service.id);
  const message = "manually requested rollback";
  const back = isJob(service)
    ? withSpec(service, spec)
    : rolledBack(service, { spec, message, nowMs });
  return asUpdated(service, back, nowMs);
}

function refuseIdentityChange({ spec: before }: Service, after: ServiceSpec): void {
  if (before?.annotations?.name !== after.annotations?.name) {
    const message = `Cannot rename service "${before?.annotations?.name}" to "${after.annotations?.name}": renaming is not supported; create a new service`;
    throw new Fault("unimplemented", message);
  }
  if (before?.mode.case !== after.mode.case) {
    const message = `Cannot change the mode of service "${before?.annotations?.name}" from ${before?.mode.case} to ${after.mode.case}: create a new service`;
    throw new Fault("unimplemented", message);
  }
}
