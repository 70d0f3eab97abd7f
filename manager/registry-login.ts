/**
 * The registry login in a service's spec. It is for the nodes that pull: no answer to a user has it, so a spec that comes
 * back without it means that it stays; but never for another registry than it was given for.
 */
import { Fault } from "#proto/fault.ts";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { parseReference } from "#registry/reference.ts";
import type { ResolvedImage } from "./image-resolver.ts";

export function publicService({ spec, previousSpec, ...service }: Service): Service {
  return {
    ...service,
    ...(spec && { spec: changeContainer(spec, withoutLogin) }),
    ...(previousSpec && { previousSpec: changeContainer(previousSpec, withoutLogin) }),
  };
}

export function publicTask({ spec, ...task }: Task): Task {
  return { ...task, ...(spec && { spec: changeTask(spec, withoutLogin) }) };
}

/** The spec with the login that the one before it had, where it brings none and its image is of the same registry. */
export function keepLogin(spec: ServiceSpec, before: ServiceSpec | undefined): ServiceSpec {
  const kept = containerOf(before);
  const login = kept?.pullOptions;
  if (kept === undefined || login === undefined) return spec;
  return changeContainer(spec, (container) => {
    if (loginOf(container) !== "" || !isSameRegistry(container.image, kept.image)) return container;
    return { ...container, pullOptions: login };
  });
}

export function withImage(spec: ServiceSpec, { image, platforms }: ResolvedImage): ServiceSpec {
  return changeContainer(spec, (container) => ({
    ...container,
    image,
    imagePlatforms: [...platforms],
  }));
}

export function resolvedImageOf(spec: ServiceSpec | undefined): ResolvedImage | undefined {
  const container = containerOf(spec);
  return container && { image: container.image, platforms: container.imagePlatforms };
}

export function loginOf(container: ContainerSpec | undefined): string {
  return container?.pullOptions?.registryAuth ?? "";
}

export function containerOf(spec: ServiceSpec | undefined): ContainerSpec | undefined {
  const runtime = spec?.task?.runtime;
  return runtime?.case === "container" ? runtime.value : undefined;
}

type Change = (container: ContainerSpec) => ContainerSpec;

export function changeContainer(spec: ServiceSpec, change: Change): ServiceSpec {
  return spec.task === undefined ? spec : { ...spec, task: changeTask(spec.task, change) };
}

function changeTask(task: TaskSpec, change: Change): TaskSpec {
  const { runtime } = task;
  if (runtime.case !== "container") return task;
  const value = change(runtime.value);
  return value === runtime.value ? task : { ...task, runtime: { case: "container", value } };
}

function withoutLogin(container: ContainerSpec): ContainerSpec {
  if (container.pullOptions === undefined) return container;
  const { pullOptions: _, ...others } = container;
  return others;
}

function isSameRegistry(image: string, other: string): boolean {
  try {
    return parseReference(image).registry === parseReference(other).registry;
  } catch (thrown) {
    if (Fault.from(thrown).code === "invalid-argument") return false;
    throw thrown;
  }
}
