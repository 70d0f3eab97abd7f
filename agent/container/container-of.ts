import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";

/** Undefined of a task that is no container. */
export function containerOf({ spec }: Pick<Task, "spec">): ContainerSpec | undefined {
  return spec?.runtime.case === "container" ? spec.runtime.value : undefined;
}
