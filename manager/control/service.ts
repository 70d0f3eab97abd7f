import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type CreateServiceRequest,
  type ListServicesRequest,
  type UpdateServiceRequest,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { SchedulingStrategy, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { formatReference, parseReference } from "#registry/reference.ts";
import type { ImageQuestion, ResolvedImage } from "../image-resolver.ts";
import {
  containerOf,
  keepLogin,
  loginOf,
  publicService,
  resolvedImageOf,
  withImage,
} from "../registry-login.ts";
import type { Action } from "../store/objects.ts";
import { clusterOf } from "../cluster.ts";
import { promoted } from "../orchestrator/plan-canaries.ts";
import { replacedTasks } from "../orchestrator/plan-replaced.ts";
import { isPaused } from "../orchestrator/update-config.ts";
import type { Store, View } from "../store/store.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve } from "../store/resolve.ts";
import { createdService, rolledBackService, updatedService } from "./service-change.ts";
import { serviceStatus } from "./service-status.ts";
import { Turns } from "../turns.ts";
import { validateServiceSpec } from "../spec/validate-service.ts";
import { refuseStale } from "./version.ts";

type Methods =
  | "createService"
  | "getService"
  | "listServices"
  | "updateService"
  | "promoteService"
  | "rebalanceService"
  | "removeService";

interface Modules extends Pick<ControlModules, "store" | "random" | "clock" | "images" | "log"> {
  /** Of the services that ask for ports or addresses by number. */
  readonly turns: Turns;
}

export function serviceHandlers(given: Omit<Modules, "turns">): Pick<ControlHandlers, Methods> {
  const modules = { ...given, turns: new Turns() };
  const { store } = modules;
  return {
    createService: async (request, { signal }) => createService(modules, request, signal),
    getService: async ({ ref }) => {
      const service = resolve(store, "service", ref);
      return { service: publicService(service), status: serviceStatus(store, service) };
    },
    listServices: async (request) => listServices(store, request),
    updateService: async (request, { signal }) => updateService(modules, request, signal),
    promoteService: async ({ ref }) => ({ service: await promoteService(store, ref) }),
    rebalanceService: async ({ ref }) => ({ service: await rebalanceService(store, ref) }),
    removeService: async ({ ref }) => ({ serviceId: await removeService(store, ref) }),
  };
}

/** A service as it is now, or would be, and what its user should know. */
interface Changed {
  readonly service: Service;
  readonly warnings: string[];
  readonly replacedTaskIds?: string[];
}

async function createService(
  modules: Modules,
  request: CreateServiceRequest,
  signal: AbortSignal,
): Promise<Changed> {
  const { store, random, clock } = modules;
  const id = newId(random);
  const wanted = withKnownPlatforms(validateServiceSpec(request.spec, store), undefined);
  const { spec, warnings } = request.queryRegistry
    ? await pinImage(modules, wanted, { signal })
    : { spec: wanted, warnings: [] };
  const plan = (view: View) => createdService(id, spec, { view, nowMs: clock.now() });
  if (request.dryRun) return { service: publicService(plan(store)), warnings };
  await writeSpec(modules, wanted, (view) => [
    { action: "create", kind: "service", object: plan(view) },
  ]);
  return { service: committed(store, id), warnings };
}

async function updateService(
  modules: Modules,
  request: UpdateServiceRequest,
  signal: AbortSignal,
): Promise<Changed> {
  const { store, clock } = modules;
  const { ref } = request;
  const before = resolve(store, "service", ref);
  const wish = await wishOf(modules, request, before, signal);
  const plan = (view: View) => {
    const service = resolve(view, "service", ref);
    refuseStale(`service "${service.spec?.annotations?.name}"`, service, request.version);
    const context = { view, nowMs: clock.now() };
    return request.rollback
      ? rolledBackService(service, context)
      : updatedService(service, { spec: wish.spec, scale: request.scale }, context);
  };
  const { warnings } = wish;
  if (request.dryRun) {
    const service = plan(store);
    const replacedTaskIds = replacedTasks(service, store).map(({ id }) => id);
    return { service: publicService(service), warnings, replacedTaskIds };
  }
  await writeSpec(modules, wish.spec ?? create(ServiceSpecSchema), (view) => {
    const object = plan(view);
    if (object === resolve(view, "service", ref)) return [];
    return [{ action: "update", kind: "service", object }];
  });
  return { service: committed(store, before.id), warnings };
}

/** What the request would have the spec be, before it is validated against the store that it is written to. */
async function wishOf(
  modules: Modules,
  { rollback, spec, queryRegistry }: UpdateServiceRequest,
  before: Service,
  signal: AbortSignal,
): Promise<{ readonly spec: ServiceSpec | undefined; readonly warnings: string[] }> {
  if (rollback) return { spec: before.previousSpec, warnings: [] };
  const known = resolvedImageOf(before.spec);
  const wanted = withKnownPlatforms(
    keepLogin(validateServiceSpec(spec, modules.store, before.id), before.spec),
    known,
  );
  if (!queryRegistry) return { spec: wanted, warnings: [] };
  return pinImage(modules, wanted, { signal, known });
}

/** Users cannot say what an image is made for; of one that stays, it stays. */
function withKnownPlatforms(spec: ServiceSpec, known: ResolvedImage | undefined): ServiceSpec {
  const image = containerOf(spec)?.image;
  if (image === undefined) return spec;
  return withImage(spec, image === known?.image ? known : { image, platforms: [] });
}

/** Takes turns with the others that ask for something of which there is one. */
function writeSpec(
  { store, turns }: Modules,
  { endpoint, task }: ServiceSpec,
  build: (view: View) => readonly Action[],
): Promise<void> {
  const asksForPort = endpoint?.ports.some(({ publishedPort }) => publishedPort !== 0) ?? false;
  const asksForAddress = task?.networks.some(({ addresses }) => addresses.length > 0) ?? false;
  if (!asksForPort && !asksForAddress) return store.write(build);
  return turns.take(() => store.write(build));
}

/**
 * The spec with its image's tag resolved to a digest, before the transaction: a registry may be slow. Where it does not
 * tell, the user is warned, and the image stays as it is: with the digest that the tag had before, if it is the same.
 */
async function pinImage(
  { images, log }: Modules,
  spec: ServiceSpec,
  { signal, known }: Pick<ImageQuestion, "signal" | "known">,
): Promise<{ readonly spec: ServiceSpec; readonly warnings: string[] }> {
  const container = containerOf(spec);
  if (container === undefined) return { spec, warnings: [] };
  const { image } = container;
  try {
    const registryAuth = loginOf(container);
    const resolved = await images.resolve(image, { registryAuth, signal, known });
    return { spec: withImage(spec, resolved), warnings: [] };
  } catch (thrown) {
    signal.throwIfAborted();
    const reason = Fault.from(thrown).message;
    log.warn("Cannot resolve an image to its digest", { image, error: reason });
    const why = `The reason: ${reason}`;
    if (known === undefined || !isPinned(known.image, image)) {
      return { spec, warnings: [unpinned(image), why] };
    }
    const kept = `image ${image} could not be accessed on a registry: the service keeps the digest that it has.`;
    return { spec: withImage(spec, known), warnings: [kept, why] };
  }
}

/** Whether `pinned` is the image with a digest. */
function isPinned(pinned: string, image: string): boolean {
  if (!pinned.includes("@")) return false;
  const { digest: _, ...tagged } = parseReference(pinned);
  return formatReference(tagged) === formatReference(parseReference(image));
}

/** Docker's own words. */
function unpinned(image: string): string {
  return `image ${image} could not be accessed on a registry to record its digest. Each node will access ${image} independently, possibly leading to different nodes running different versions of the image.`;
}

/** Refused where nothing waits for it: whoever promotes shall not learn later that it was for naught. */
async function promoteService(store: Store, ref: string): Promise<Service> {
  await store.write((view) => {
    const service = resolve(view, "service", ref);
    const name = service.spec?.annotations?.name ?? "";
    if (service.updateStatus?.state !== UpdateState.CANARY) {
      throw new Fault(
        "failed-precondition",
        `Cannot promote service "${name}": ${whyNot(service)}`,
      );
    }
    return [{ action: "update", kind: "service", object: promoted(service) }];
  });
  return committed(store, resolve(store, "service", ref).id);
}

/** The rebalancer sees it and marks the tasks that are to move. */
async function rebalanceService(store: Store, ref: string): Promise<Service> {
  await store.write((view) => {
    const service = resolve(view, "service", ref);
    refuseRebalance(service, view);
    const object = { ...service, rebalances: service.rebalances + 1n };
    return [{ action: "update", kind: "service", object }];
  });
  return committed(store, resolve(store, "service", ref).id);
}

function refuseRebalance(service: Service, view: View): void {
  const { spec, updateStatus } = service;
  const refusal = `Cannot rebalance service "${spec?.annotations?.name}":`;
  if (spec?.mode.case !== "replicated") {
    const message = `${refusal} it is not replicated, so its tasks have their nodes for good`;
    throw new Fault("failed-precondition", message);
  }
  if (isPaused(service)) {
    const message = `${refusal} what moves would be updated: ${updateStatus?.message ?? "its update is paused"}`;
    throw new Fault("failed-precondition", message);
  }
  if (clusterOf(view)?.spec?.scheduling?.strategy === SchedulingStrategy.BINPACK) {
    const message = `${refusal} the cluster packs tasks onto few nodes (cluster update --scheduling-strategy spread)`;
    throw new Fault("failed-precondition", message);
  }
}

function whyNot(service: Service): string {
  const { updateStatus, spec } = service;
  if ((spec?.update?.canary ?? 0n) === 0n) return "its updates have no canaries (--update-canary)";
  if (isPaused(service)) return updateStatus?.message ?? "its update is paused";
  if (updateStatus?.state === UpdateState.UPDATING && !updateStatus.promoted) {
    return "its canaries do not all run yet: try again when they do";
  }
  return "no update of it waits for a promotion";
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

function listServices(store: Store, request: ListServicesRequest) {
  const { labels, idPrefixes, namePrefixes } = request;
  const services = store
    .list("service")
    .filter(
      ({ id, spec }) =>
        beginsWithOne(id, idPrefixes) &&
        beginsWithOne(spec?.annotations?.name ?? "", namePrefixes) &&
        hasLabels(spec?.annotations, labels),
    );
  return {
    services: services.map(publicService),
    statuses: services.map((service) => serviceStatus(store, service)),
  };
}

function beginsWithOne(text: string, prefixes: readonly string[]): boolean {
  return prefixes.length === 0 || prefixes.some((prefix) => text.startsWith(prefix));
}

function committed(store: Store, id: string): Service {
  const service = store.get("service", id);
  if (service === undefined) throw new Fault("not-found", `service ${id} was removed meanwhile`);
  return publicService(service);
}
