import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type CreateServiceRequest,
  type ListServicesRequest,
  type ServiceStatus,
  ServiceStatusSchema,
  type UpdateServiceRequest,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { type Service, ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { TaskState, VersionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Store, View } from "../store/store.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve } from "../store/resolve.ts";
import { validateServiceSpec } from "../spec/validate-service.ts";
import { refuseStale } from "./version.ts";

type Methods = "createService" | "getService" | "listServices" | "updateService" | "removeService";

export function serviceHandlers(
  modules: Pick<ControlModules, "store" | "random">,
): Pick<ControlHandlers, Methods> {
  const { store } = modules;
  return {
    createService: async (request) => ({ service: await createService(modules, request) }),
    getService: async ({ ref }) => {
      const service = resolve(store, "service", ref);
      return { service, status: statusOf(store, service) };
    },
    listServices: async (request) => listServices(store, request),
    updateService: async (request) => ({ service: await updateService(store, request) }),
    removeService: async ({ ref }) => ({ serviceId: await removeService(store, ref) }),
  };
}

async function createService(
  { store, random }: Pick<ControlModules, "store" | "random">,
  request: CreateServiceRequest,
): Promise<Service> {
  const id = newId(random);
  await store.write((view) => {
    const spec = validateServiceSpec(request.spec, view);
    const name = spec.annotations?.name ?? "";
    if (view.byName("service", name) !== undefined) {
      throw new Fault("already-exists", `a service named "${name}" exists already`);
    }
    const specVersion = create(VersionSchema, { index: 0n });
    const object = create(ServiceSchema, { id, spec, specVersion });
    return [{ action: "create", kind: "service", object }];
  });
  return committed(store, id);
}

async function updateService(store: Store, request: UpdateServiceRequest): Promise<Service> {
  const { ref, version } = request;
  await store.write((view) => {
    const service = resolve(view, "service", ref);
    const spec = validateServiceSpec(request.spec, view);
    refuseStale(`service "${service.spec?.annotations?.name}"`, service, version);
    refuseIdentityChange(service, spec);
    // An update that changes nothing leaves the service, and the spec that a rollback returns to, as they are.
    if (service.spec !== undefined && equals(ServiceSpecSchema, spec, service.spec)) return [];
    return [{ action: "update", kind: "service", object: withSpec(service, spec) }];
  });
  return committed(store, resolve(store, "service", ref).id);
}

/** The spec's version is the version that the update read: the one that it writes is not known before it is committed. */
function withSpec(service: Service, spec: ServiceSpec): Service {
  const { updateStatus: _, previousSpec: __, previousSpecVersion: ___, ...kept } = service;
  return {
    ...kept,
    spec,
    specVersion: create(VersionSchema, { index: service.meta?.version?.index ?? 0n }),
    ...(service.spec === undefined ? {} : { previousSpec: service.spec }),
    ...(service.specVersion === undefined ? {} : { previousSpecVersion: service.specVersion }),
  };
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

/** The orchestrator sees the service gone and lets its tasks follow. */
async function removeService(store: Store, ref: string): Promise<string> {
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "service", ref);
    id = object.id;
    return [{ action: "remove", kind: "service", object }];
  });
  return id;
}

function listServices(store: Store, { labels }: ListServicesRequest) {
  const services = store
    .list("service")
    .filter((service) => hasLabels(service.spec?.annotations, labels));
  return { services, statuses: services.map((service) => statusOf(store, service)) };
}

function statusOf(view: View, service: Service): ServiceStatus {
  const tasks = view.tasksOfService(service.id);
  const wanted = tasks.filter(({ desiredState }) => desiredState <= TaskState.RUNNING);
  const inState = (state: TaskState) => (task: (typeof tasks)[number]) =>
    task.status?.state === state;
  const mode = service.spec?.mode;
  return create(ServiceStatusSchema, {
    serviceId: service.id,
    runningTasks: BigInt(wanted.filter(inState(TaskState.RUNNING)).length),
    desiredTasks: mode?.case === "replicated" ? mode.value.replicas : BigInt(wanted.length),
    completedTasks: BigInt(tasks.filter(inState(TaskState.COMPLETE)).length),
  });
}

function committed(store: Store, id: string): Service {
  const service = store.get("service", id);
  if (service === undefined) throw new Fault("not-found", `service ${id} was removed meanwhile`);
  return service;
}
