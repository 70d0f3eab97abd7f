/**
 * Whether a task is what its service wants now. Only what a container would notice counts: not labels of the service,
 * replicas or update settings, which are outside TaskSpec, nor the registry's password, which only the next pull needs.
 */
import { create, equals } from "@bufbuild/protobuf";
import {
  ContainerSpecSchema,
  type TaskSpec,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";

export type SameSpec = (task: TaskSpec | undefined, service: TaskSpec | undefined) => boolean;

export function sameSpec(task: TaskSpec | undefined, service: TaskSpec | undefined): boolean {
  if (task === undefined || service === undefined) return task === service;
  return equals(TaskSpecSchema, withoutAuth(task), withoutAuth(service));
}

/** The same, remembering the verdict of each pair: stored objects never change in place. */
export function rememberingSameSpec(): SameSpec {
  const verdicts = new WeakMap<TaskSpec, { readonly service: TaskSpec; readonly same: boolean }>();
  return (task, service) => {
    if (task === undefined || service === undefined) return task === service;
    const known = verdicts.get(task);
    if (known?.service === service) return known.same;
    const same = sameSpec(task, service);
    verdicts.set(task, { service, same });
    return same;
  };
}

function withoutAuth(spec: TaskSpec): TaskSpec {
  if (spec.runtime.case !== "container" || spec.runtime.value.pullOptions === undefined)
    return spec;
  const { pullOptions: _, ...container } = spec.runtime.value;
  return { ...spec, runtime: { case: "container", value: create(ContainerSpecSchema, container) } };
}
