/**
 * What a task may ask for that this agent cannot do yet. Each is refused in words when the task arrives: a wish that is
 * silently ignored is worse than one that is refused. Pure.
 */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { Isolation, type Mount, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { logDriverOf } from "../log/conmon-log.ts";

/** The container that the task asks for; a Fault names the first field that is not supported yet. */
export function supportedContainer(task: Task): ContainerSpec {
  if (task.spec?.runtime.case !== "container") {
    throw new Fault("unimplemented", "a task that is not a container is not supported yet");
  }
  const spec = task.spec.runtime.value;
  const refused = [
    ...refusedOfTask(task),
    ...refusedOfContainer(spec),
    ...spec.mounts.flatMap(refusedOfMount),
  ];
  const [first] = refused;
  if (first === undefined) return spec;
  throw new Fault("unimplemented", `${first} is not supported yet: remove it from the service`);
}

type Refusals = readonly (readonly [string, boolean])[];

function namesOf(refusals: Refusals): string[] {
  return refusals.filter(([, wanted]) => wanted).map(([name]) => name);
}

function refusedOfTask(task: Task): string[] {
  logDriverOf(task);
  return namesOf([["a cluster volume", (task.spec?.resourceReferences.length ?? 0) > 0]]);
}

function refusedOfContainer(spec: ContainerSpec): string[] {
  return namesOf([
    ["a credential spec (Windows)", spec.privileges?.credentialSpec !== undefined],
    ["an isolation (Windows)", spec.isolation !== Isolation.DEFAULT],
  ]);
}

function refusedOfMount({ type }: Mount): string[] {
  return namesOf([
    ["a named pipe", type === MountType.NPIPE],
    ["a cluster volume", type === MountType.CLUSTER],
  ]);
}
