/**
 * A task as its node runs it: placeholders filled in, what it was granted in its environment, and a volume for each place that the image declares as one and the
 * service mounts nothing at. Pure.
 */
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ContainerSpec, ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  DriverSchema,
  type Mount,
  MountSchema,
  MountType,
  VolumeOptionsSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { genericResourceEnv } from "#proto/generic-resource.ts";
import {
  evaluateTemplate,
  isTemplate,
  parseTemplate,
  type TemplateValues,
} from "#proto/template.ts";

/** What placeholders say of a node. */
export interface NodeFacts {
  readonly hostname: string;
  readonly os: string;
  readonly architecture: string;
}

export function completeTask(
  task: Task,
  image: { readonly volumes?: readonly string[] },
  node: NodeFacts,
): Task {
  if (task.spec?.runtime.case !== "container") return task;
  const { runtime } = task.spec;
  const filled = tellGrants(fillIn(runtime.value, templateValues(task, node)), task);
  const mounts = [...filled.mounts, ...imageVolumes(filled, image.volumes ?? [])];
  if (filled === runtime.value && mounts.length === filled.mounts.length) return task;
  const value = create(ContainerSpecSchema, { ...filled, mounts });
  return { ...task, spec: { ...task.spec, runtime: { case: "container", value } } };
}

/** Which generic resources are its own; after the service's variables and above them, as in Docker. */
function tellGrants(container: ContainerSpec, { assignedGenericResources }: Task): ContainerSpec {
  if (assignedGenericResources.length === 0) return container;
  const env = [...container.env, ...genericResourceEnv(assignedGenericResources)];
  return create(ContainerSpecSchema, { ...container, env });
}

export function templateValues(task: Task, node: NodeFacts): TemplateValues {
  const { serviceAnnotations: service } = task;
  return {
    service: { id: task.serviceId, name: service?.name ?? "", labels: service?.labels ?? {} },
    node: { ...node, id: task.nodeId },
    task: {
      id: task.id,
      name: task.annotations?.name || taskName(task),
      slot: slotOf(task),
    },
  };
}

function slotOf({ slot, nodeId }: Task): string {
  return slot > 0n ? `${slot}` : nodeId;
}

function taskName(task: Task): string {
  return `${task.serviceAnnotations?.name ?? task.serviceId}.${slotOf(task)}.${task.id}`;
}

function fillIn(container: ContainerSpec, values: TemplateValues): ContainerSpec {
  const { env, hostname, mounts } = container;
  const texts = [...env, hostname, ...mounts.flatMap(templatedTexts)];
  if (!texts.some(isTemplate)) return container;
  const fill = (where: string, text: string) => fillText(where, text, values);
  return create(ContainerSpecSchema, {
    ...container,
    env: env.map((entry) => fillEntry(entry, fill)),
    hostname: fill("the hostname", hostname),
    mounts: mounts.map((mount) => fillMount(mount, fill)),
  });
}

type Fill = (where: string, text: string) => string;

function fillText(where: string, text: string, values: TemplateValues): string {
  if (!isTemplate(text)) return text;
  try {
    return evaluateTemplate(parseTemplate(text, "spec"), values);
  } catch (thrown) {
    throw Fault.wrap(`Cannot fill in the template in ${where}`, thrown);
  }
}

/** Values alone are templates (Swarm). */
function fillEntry(entry: string, fill: Fill): string {
  const at = entry.indexOf("=") + 1;
  return entry.slice(0, at) + fill(`variable ${entry.slice(0, at - 1)}`, entry.slice(at));
}

function templatedTexts({ source, target, volumeOptions }: Mount): string[] {
  const { labels = {}, driverConfig } = volumeOptions ?? {};
  return [source, target, ...Object.values(labels), ...Object.values(driverConfig?.options ?? {})];
}

function fillMount(mount: Mount, fill: Fill): Mount {
  const where = `the mount at "${mount.target}"`;
  const { volumeOptions: options } = mount;
  const fillValues = (pairs: Readonly<Record<string, string>> = {}) =>
    Object.fromEntries(Object.entries(pairs).map(([key, text]) => [key, fill(where, text)]));
  const driver = options?.driverConfig;
  return create(MountSchema, {
    ...mount,
    source: fill(where, mount.source),
    target: fill(where, mount.target),
    ...(options !== undefined && {
      volumeOptions: create(VolumeOptionsSchema, {
        ...options,
        labels: fillValues(options.labels),
        ...(driver !== undefined && {
          driverConfig: create(DriverSchema, { ...driver, options: fillValues(driver.options) }),
        }),
      }),
    }),
  });
}

function imageVolumes({ mounts }: ContainerSpec, paths: readonly string[]): Mount[] {
  const taken = new Set(["/", ...mounts.map(({ target }) => posix.resolve(target))]);
  const declared = paths.filter((path) => path.startsWith("/"));
  return [...new Set(declared.map((path) => posix.resolve(path)))]
    .filter((path) => !taken.has(path))
    .map((target) => create(MountSchema, { type: MountType.VOLUME, target }));
}
