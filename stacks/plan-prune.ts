/** What of a stack its file does not name any more. Pure. Volumes are not among it: they hold data. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Network, TaskState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { FileObject } from "./file-api.ts";
import { nameOf, type Stack, stackOf } from "./stack.ts";

/** Everything of the cluster that a deployment looks at. */
export interface ClusterObjects {
  readonly services: readonly Service[];
  readonly networks: readonly Network[];
  readonly secrets: readonly FileObject[];
  readonly configs: readonly FileObject[];
}

/** Older versions of files are no leftovers: they go by themselves when nobody uses them. */
export function leftovers(stack: Stack, cluster: ClusterObjects): ClusterObjects {
  const names = (specs: readonly (ServiceSpec | Network["spec"])[]) => new Set(specs.map(nameOf));
  const files = (objects: readonly FileObject[], kept: readonly { readonly name: string }[]) =>
    unnamed(
      stack,
      objects.filter(({ rotatedFrom }) => rotatedFrom === ""),
      new Set(kept.map(({ name }) => name)),
    );
  return {
    services: unnamed(stack, cluster.services, names(stack.services)),
    networks: unnamed(stack, cluster.networks, names(stack.networks)),
    secrets: files(cluster.secrets, stack.secrets),
    configs: files(cluster.configs, stack.configs),
  };
}

interface Labelled {
  readonly spec?: Parameters<typeof nameOf>[0];
}

function unnamed<T extends Labelled>(
  stack: Stack,
  objects: readonly T[],
  kept: ReadonlySet<string>,
): T[] {
  return objects.filter(
    ({ spec }) => stackOf(spec?.annotations?.labels) === stack.name && !kept.has(nameOf(spec)),
  );
}

/** Whether a task may yet start with the file: one that lives, or one that a rollback would make. */
export function isFileUsed(
  { id }: FileObject,
  services: readonly Service[],
  tasks: readonly Task[],
): boolean {
  const updating = services.filter(({ updateStatus }) => isUnfinished(updateStatus?.state));
  const living = tasks.filter(({ status }) => (status?.state ?? 0) <= TaskState.RUNNING);
  return [
    ...services.map(({ spec }) => spec?.task),
    ...updating.map(({ previousSpec }) => previousSpec?.task),
    ...living.map(({ spec }) => spec),
  ].some((task) => refersTo(task, id));
}

function isUnfinished(state: UpdateState | undefined): boolean {
  return (
    state === UpdateState.UPDATING || state === UpdateState.CANARY || state === UpdateState.PAUSED
  );
}

export function refersTo(task: TaskSpec | undefined, id: string): boolean {
  if (task?.runtime.case !== "container") return false;
  const { secrets, configs } = task.runtime.value;
  return (
    secrets.some(({ secretId }) => secretId === id) ||
    configs.some(({ configId }) => configId === id)
  );
}
