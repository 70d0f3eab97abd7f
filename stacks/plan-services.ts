/**
 * What a deployment does to the services of a stack. Pure: it compares the stack with what is there and touches nothing.
 * A service is updated only if its spec differs; what people do to it by hand beside the file (a forced restart, another
 * number of replicas where the file gives none) stays.
 */
import { equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type ContainerSpec,
  type ServiceSpec,
  ServiceSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import type { PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkOwner, imageLabel, nameOf, type Stack } from "./stack.ts";

export type ServiceStep =
  | { readonly kind: "create-service"; readonly spec: ServiceSpec; readonly resolve: boolean }
  | ServiceUpdate
  | { readonly kind: "keep-service"; readonly service: Service };

/** "refresh-service": nothing differs but perhaps what an image's tag stands for, or a login, which only managers see. */
export interface ServiceUpdate {
  readonly kind: "update-service" | "refresh-service";
  readonly service: Service;
  readonly spec: ServiceSpec;
  /** Have the image's tag resolved. */
  readonly resolve: boolean;
}

/** Of which services the images' tags are resolved: of all, or of those whose image in the file is another one. */
export const resolveModes = ["always", "changed", "never"] as const;
export type ResolveMode = (typeof resolveModes)[number];

/** In the stack's order. `services`: all of the cluster. */
export function planServices(
  stack: Stack,
  services: readonly Service[],
  resolveImage: ResolveMode,
): ServiceStep[] {
  const byName = new Map(services.map((service) => [nameOf(service.spec), service]));
  return stack.services.map((spec) => {
    const service = byName.get(nameOf(spec));
    return planService(stack, spec, { service, resolveImage });
  });
}

interface Present {
  readonly service: Service | undefined;
  readonly resolveImage: ResolveMode;
}

function planService(
  stack: Stack,
  spec: ServiceSpec,
  { service, resolveImage }: Present,
): ServiceStep {
  if (service?.spec === undefined) {
    return { kind: "create-service", spec, resolve: resolveImage !== "never" };
  }
  const name = nameOf(spec);
  checkOwner(stack, `Service "${name}"`, service.spec);
  checkMode(spec, service.spec);
  const keepsReplicas = stack.unscaled.has(name);
  const wanted = keepForceUpdate(
    keepsReplicas ? keepReplicas(spec, service.spec) : spec,
    service.spec,
  );
  const sameImage = labelledImage(wanted) === labelledImage(service.spec);
  const kept = sameImage ? keepImage(wanted, service.spec) : wanted;
  const resolve = resolveImage === "always" || (resolveImage === "changed" && !sameImage);
  const isSame = equals(ServiceSpecSchema, service.spec, asManagersShow(wanted, service.spec));
  const hasLogin = containerOf(wanted)?.pullOptions !== undefined;
  if (isSame && !hasLogin && !resolve) return { kind: "keep-service", service };
  const kind = isSame ? "refresh-service" : "update-service";
  return { kind, service, spec: resolve ? wanted : kept, resolve };
}

/** The order in which they are done: a published port is taken from one service before another gets it. */
export function inPortOrder(steps: readonly ServiceStep[]): ServiceStep[] {
  const left = steps.map((step) => ({ step, ...portMoves(step) }));
  const ordered: ServiceStep[] = [];
  while (left.length > 0) {
    const isFree = (port: string) => !left.some(({ frees }) => frees.has(port));
    const next = left.findIndex(({ wants }) => wants.every(isFree));
    // Services that want one another's have no order, so that `portsFreedFirst` comes before.
    ordered.push(...left.splice(Math.max(next, 0), 1).map(({ step }) => step));
  }
  return ordered;
}

/**
 * What is done before where services want one another's ports, so that no order helps: some are taken from their services, which
 * lose them in this deployment anyway. Between this and its own step such a service publishes fewer.
 */
export function portsFreedFirst(steps: readonly ServiceStep[]): ServiceUpdate[] {
  const left = steps.map((step) => ({ step, ...portMoves(step) }));
  const freed: ServiceUpdate[] = [];
  const isFree = (port: string) => !left.some(({ frees }) => frees.has(port));
  while (left.length > 0) {
    const next = left.findIndex(({ wants }) => wants.every(isFree));
    if (next !== -1) {
      left.splice(next, 1);
      continue;
    }
    const giver = left.find(({ frees }) => frees.size > 0);
    if (giver === undefined || !("service" in giver.step)) break;
    const { service } = giver.step;
    const spec = service.spec && withoutPorts(service.spec, giver.frees);
    if (spec !== undefined) freed.push({ kind: "update-service", service, spec, resolve: false });
    giver.frees = new Set();
  }
  return freed;
}

function withoutPorts(spec: ServiceSpec, ports: ReadonlySet<string>): ServiceSpec {
  if (spec.endpoint === undefined) return spec;
  const kept = spec.endpoint.ports.filter((port) => !ports.has(portKey(port)));
  return { ...spec, endpoint: { ...spec.endpoint, ports: kept } };
}

interface PortMoves {
  readonly wants: readonly string[];
  readonly frees: ReadonlySet<string>;
}

export function portMoves(step: ServiceStep): PortMoves {
  if (step.kind === "keep-service") return { wants: [], frees: new Set() };
  const after = publishedPorts(step.spec);
  const before = publishedPorts(step.kind === "create-service" ? undefined : step.service.spec);
  return {
    wants: [...after].filter((port) => !before.has(port)),
    frees: new Set([...before].filter((port) => !after.has(port))),
  };
}

export function publishedPorts(spec: ServiceSpec | undefined): ReadonlySet<string> {
  return new Set(spec?.endpoint?.ports.map(portKey));
}

export function portKey({ publishedPort, protocol }: PortConfig): string {
  return `${publishedPort}/${protocol}`;
}

/** Managers refuse it too, but when the deployment has begun. */
function checkMode({ mode: after, annotations }: ServiceSpec, { mode: before }: ServiceSpec): void {
  if (before.case === after.case) return;
  const words = (mode: ServiceSpec["mode"]) => (mode.case ?? "").replace("J", "-j");
  const name = annotations?.name ?? "";
  throw new Fault(
    "failed-precondition",
    `Service "${name}" is ${words(before)} and cannot become ${words(after)}: run "swarmctl service rm ${name}" first, or call it something else in the file`,
  );
}

/** A file says nothing of restarts that users have forced; forgetting them would force one more. */
function keepForceUpdate(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  if (spec.task === undefined) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate: present.task?.forceUpdate ?? 0n } };
}

/** As somebody scaled it. */
function keepReplicas(spec: ServiceSpec, { mode }: ServiceSpec): ServiceSpec {
  return spec.mode.case === "replicated" && mode.case === "replicated" ? { ...spec, mode } : spec;
}

/** With the digest that the tag stood for when it was resolved. */
function keepImage(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  const image = containerOf(present)?.image;
  if (image === undefined) return spec;
  return changeContainer(spec, (container) => ({ ...container, image }));
}

/**
 * The spec, as far as it can be known without asking what tags stand for: managers show it with digests, with what images are
 * made for, and without logins.
 */
export function asManagersShow(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  const sameImage = labelledImage(spec) === labelledImage(present);
  const imagePlatforms = containerOf(present)?.imagePlatforms ?? [];
  return changeContainer(sameImage ? keepImage(spec, present) : spec, (container) => ({
    ...withoutLogin(container),
    imagePlatforms,
  }));
}

function labelledImage({ annotations }: ServiceSpec): string | undefined {
  return annotations?.labels[imageLabel];
}

function withoutLogin(container: ContainerSpec): ContainerSpec {
  const { pullOptions: _, ...others } = container;
  return others;
}

export function containerOf(spec: ServiceSpec | undefined): ContainerSpec | undefined {
  const runtime = spec?.task?.runtime;
  return runtime?.case === "container" ? runtime.value : undefined;
}

export function changeContainer(
  spec: ServiceSpec,
  change: (container: ContainerSpec) => ContainerSpec,
): ServiceSpec {
  const container = containerOf(spec);
  if (spec.task === undefined || container === undefined) return spec;
  const runtime = { case: "container", value: change(container) } as const;
  return { ...spec, task: { ...spec.task, runtime } };
}
