/**
 * Whether a task is what its service wants now. Only what a container would notice counts: not labels of the service,
 * replicas or update settings, which are outside TaskSpec, nor the registry's password, which only the next pull needs, nor
 * what the image is made for: that is the image's digest in other words.
 */
import { equals } from "@bufbuild/protobuf";
import { type ContainerSpec, type TaskSpec, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";

/** placement: they agree in all but which nodes they are for. */
export type Likeness = "same" | "placement" | "other";

export type SameSpec = (task: TaskSpec | undefined, service: TaskSpec | undefined) => Likeness;

export function sameSpec(task: TaskSpec | undefined, service: TaskSpec | undefined): Likeness {
  if (task === undefined || service === undefined) return task === service ? "same" : "other";
  const [has, wants] = [withoutQuiet(task), withoutQuiet(service)];
  if (equals(TaskSpecSchema, has, wants)) return "same";
  const alike = equals(TaskSpecSchema, withoutPlacement(has), withoutPlacement(wants));
  return alike ? "placement" : "other";
}

/** The same, remembering the verdict of each pair: stored objects never change in place. */
export function rememberingSameSpec(): SameSpec {
  const verdicts = new WeakMap<
    TaskSpec,
    { readonly service: TaskSpec; readonly likeness: Likeness }
  >();
  return (task, service) => {
    if (task === undefined || service === undefined) return sameSpec(task, service);
    const known = verdicts.get(task);
    if (known?.service === service) return known.likeness;
    const likeness = sameSpec(task, service);
    verdicts.set(task, { service, likeness });
    return likeness;
  };
}

function withoutPlacement(spec: TaskSpec): TaskSpec {
  const { placement: _, ...kept } = spec;
  return kept;
}

function withoutQuiet(spec: TaskSpec): TaskSpec {
  if (spec.runtime.case !== "container") return spec;
  const { pullOptions, imagePlatforms, ...kept } = spec.runtime.value;
  if (pullOptions === undefined && imagePlatforms.length === 0) return spec;
  const container: ContainerSpec = { ...kept, imagePlatforms: [] };
  return { ...spec, runtime: { case: "container", value: container } };
}
