/**
 * What a deployment of a stack would do to a cluster. Pure: it compares the stack with what is there and touches nothing.
 * A service is updated only if its spec differs, and everything that is not the stack's own is left alone.
 */
import { equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type ContainerSpec,
  type ServiceSpec,
  ServiceSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Network, type NetworkSpec, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { imageLabel, type Stack, stackOf } from "./stack.ts";

export type DeployStep =
  | { readonly kind: "create-network"; readonly spec: NetworkSpec }
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

/** Everything of the cluster that a deployment looks at. */
export interface ClusterObjects {
  readonly services: readonly Service[];
  readonly networks: readonly Network[];
}

/** Networks first. What cannot be done is refused before anything is. */
export function planDeploy(
  stack: Stack,
  cluster: ClusterObjects,
  resolveImage: ResolveMode,
): DeployStep[] {
  const networks = byName(cluster.networks);
  const services = byName(cluster.services);
  for (const name of stack.externalNetworks) {
    if (networks.has(name)) continue;
    throw new Fault(
      "failed-precondition",
      `Network "${name}" is external to the stack and does not exist: create it first`,
    );
  }
  return [
    ...stack.networks.flatMap((spec) => planNetwork(stack, spec, networks)),
    ...stack.services.map((spec) =>
      planService(stack, spec, { service: services.get(nameOf(spec)), resolveImage }),
    ),
  ];
}

function planNetwork(
  stack: Stack,
  spec: NetworkSpec,
  networks: ReadonlyMap<string, Network>,
): DeployStep[] {
  const name = spec.annotations?.name ?? "";
  const present = networks.get(name)?.spec;
  if (present === undefined) return [{ kind: "create-network", spec }];
  checkOwner(stack, `Network "${name}"`, present);
  if (equals(NetworkSpecSchema, present, spec)) return [];
  throw new Fault(
    "failed-precondition",
    `Network "${name}" differs from the file and cannot be changed in place: remove the stack, then deploy it anew`,
  );
}

function planService(
  stack: Stack,
  spec: ServiceSpec,
  {
    service,
    resolveImage,
  }: { readonly service: Service | undefined; readonly resolveImage: ResolveMode },
): DeployStep {
  if (service?.spec === undefined) {
    return { kind: "create-service", spec, resolve: resolveImage !== "never" };
  }
  checkOwner(stack, `Service "${nameOf(spec)}"`, service.spec);
  const wanted = keepForceUpdate(spec, service.spec);
  const sameImage = labelledImage(wanted) === labelledImage(service.spec);
  const kept = sameImage ? keepImage(wanted, service.spec) : wanted;
  const resolve = resolveImage === "always" || (resolveImage === "changed" && !sameImage);
  // What comes back from managers has no login in it.
  const isSame = equals(ServiceSpecSchema, service.spec, changeContainer(kept, withoutLogin));
  const hasLogin = containerOf(wanted)?.pullOptions !== undefined;
  if (isSame && !hasLogin && !resolve) return { kind: "keep-service", service };
  const kind = isSame ? "refresh-service" : "update-service";
  return { kind, service, spec: resolve ? wanted : kept, resolve };
}

/** A file says nothing of restarts that users have forced; forgetting them would force one more. */
function keepForceUpdate(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  if (spec.task === undefined) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate: present.task?.forceUpdate ?? 0n } };
}

/** With the digest that the tag stood for when it was resolved. */
function keepImage(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  const image = containerOf(present)?.image;
  if (image === undefined) return spec;
  return changeContainer(spec, (container) => ({ ...container, image }));
}

function labelledImage({ annotations }: ServiceSpec): string | undefined {
  return annotations?.labels[imageLabel];
}

function withoutLogin(container: ContainerSpec): ContainerSpec {
  const { pullOptions: _, ...others } = container;
  return others;
}

function containerOf(spec: ServiceSpec): ContainerSpec | undefined {
  const runtime = spec.task?.runtime;
  return runtime?.case === "container" ? runtime.value : undefined;
}

function changeContainer(
  spec: ServiceSpec,
  change: (container: ContainerSpec) => ContainerSpec,
): ServiceSpec {
  const container = containerOf(spec);
  if (spec.task === undefined || container === undefined) return spec;
  const runtime = { case: "container", value: change(container) } as const;
  return { ...spec, task: { ...spec.task, runtime } };
}

function checkOwner(stack: Stack, what: string, { annotations }: NetworkSpec | ServiceSpec): void {
  const owner = stackOf(annotations?.labels);
  if (owner === stack.name) return;
  const whose = owner === undefined ? "belongs to no stack" : `belongs to the stack "${owner}"`;
  throw new Fault(
    "already-exists",
    `${what} is there already and ${whose}: remove it, or choose another name`,
  );
}

interface Named {
  readonly spec?: NetworkSpec | ServiceSpec | undefined;
}

function byName<T extends Named>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map((object) => [nameOf(object.spec), object]));
}

function nameOf(spec: NetworkSpec | ServiceSpec | undefined): string {
  return spec?.annotations?.name ?? "";
}
