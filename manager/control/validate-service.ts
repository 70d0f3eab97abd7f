/** What a service's spec must look like. Pure: the store is read for networks alone. */
import { toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type ContainerSpec,
  type ServiceSpec,
  ServiceSpecSchema,
  type TaskSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Mount,
  MountType,
  type NetworkAttachmentConfig,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "../store/store.ts";
import { checkAbsolutePath, checkAnnotations, checkDuration, checkName, invalid } from "./field.ts";
import { isImageReference } from "./image-reference.ts";
import { find } from "./resolve.ts";
import { refuseUnsupported } from "./supported.ts";

/** Above this, a number of replicas is a slip of the finger. */
export const replicasMax = 10_000n;

const specBytesMax = 512 * 1024;

const hostnamePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;
const signalPattern = /^(?:(?:SIG)?[A-Z][A-Z0-9+-]{1,11}|[1-9][0-9]?)$/;

/** The spec, if it holds. */
export function validateServiceSpec(spec: ServiceSpec | undefined, view: View): ServiceSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  checkAnnotations(spec.annotations);
  refuseUnsupported(ServiceSpecSchema, spec);
  checkMode(spec);
  if (spec.task === undefined) throw invalid("task", "is missing");
  checkTask(spec.task, view);
  const sizeBytes = toBinary(ServiceSpecSchema, spec).length;
  if (sizeBytes > specBytesMax) {
    throw invalid("spec", `has ${sizeBytes} bytes: use at most ${specBytesMax}`);
  }
  return spec;
}

function checkMode({ mode }: ServiceSpec): void {
  if (mode.case !== "replicated") throw invalid("mode", "is missing: say how many replicas");
  const { replicas } = mode.value;
  if (replicas > replicasMax) {
    throw invalid("replicated.replicas", `is ${replicas}: use 0 to ${replicasMax}`);
  }
}

function checkTask(task: TaskSpec, view: View): void {
  if (task.runtime.case !== "container") throw invalid("task.container", "is missing");
  checkContainer(task.runtime.value);
  checkDuration("task.restart.delay", task.restart?.delay);
  checkDuration("task.restart.window", task.restart?.window);
  checkNetworks(task.networks, view);
}

function checkContainer(container: ContainerSpec): void {
  const path = "task.container";
  const { image, hostname, env, dir, user, stopSignal, stopGracePeriod, mounts } = container;
  if (image === "") throw invalid(`${path}.image`, 'is empty: name one, such as "nginx:1.27"');
  if (!isImageReference(image)) {
    const problem = `"${image}" is not an image reference: write [HOST[:PORT]/]NAME[:TAG][@DIGEST], in lower case`;
    throw invalid(`${path}.image`, problem);
  }
  if (hostname !== "" && !hostnamePattern.test(hostname)) {
    throw invalid(`${path}.hostname`, `"${hostname}" is not a DNS label`);
  }
  for (const [index, entry] of env.entries()) checkEnv(`${path}.env[${index}]`, entry);
  for (const [index, argument] of [...container.command, ...container.args].entries()) {
    if (argument.includes("\0")) {
      throw invalid(`${path}.command`, `has a NUL character in argument ${index + 1}`);
    }
  }
  if (dir !== "") checkAbsolutePath(`${path}.dir`, dir);
  if (/[\s\0]/.test(user)) throw invalid(`${path}.user`, `"${user}" contains white space`);
  if (stopSignal !== "" && !signalPattern.test(stopSignal)) {
    throw invalid(`${path}.stop_signal`, `"${stopSignal}" is not a signal, such as SIGTERM`);
  }
  checkDuration(`${path}.stop_grace_period`, stopGracePeriod);
  checkMounts(`${path}.mounts`, mounts);
}

function checkEnv(path: string, entry: string): void {
  if (!/^[^=\0]+=/.test(entry) || entry.includes("\0")) {
    throw invalid(path, `"${entry}" is not of the form NAME=value`);
  }
}

function checkMounts(path: string, mounts: readonly Mount[]): void {
  const targets = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const where = `${path}[${index}]`;
    checkAbsolutePath(`${where}.target`, mount.target);
    const target = mount.target.replace(/\/+$/, "");
    if (target === "") throw invalid(`${where}.target`, "is the root of the container");
    if (targets.has(target)) throw invalid(`${where}.target`, `"${target}" is used twice`);
    targets.add(target);
    checkMountType(where, mount);
  }
}

function checkMountType(path: string, mount: Mount): void {
  switch (mount.type) {
    case MountType.BIND:
      checkAbsolutePath(`${path}.source`, mount.source);
      return;
    case MountType.TMPFS:
      if (mount.source !== "") throw invalid(`${path}.source`, "is set: a tmpfs has none");
      return;
    default: {
      const [name] = Object.entries(MountType).find(([, type]) => type === mount.type) ?? [];
      const message = `${path}.type ${name ?? mount.type} is not supported yet: use BIND or TMPFS`;
      throw new Fault("unimplemented", message);
    }
  }
}

function checkNetworks(attachments: readonly NetworkAttachmentConfig[], view: View): void {
  const seen = new Set<string>();
  for (const [index, { target, aliases }] of attachments.entries()) {
    const path = `task.networks[${index}]`;
    if (target === "") throw invalid(`${path}.target`, "is empty: name a network");
    const network = find(view, "network", target);
    if (network === undefined) {
      throw invalid(`${path}.target`, `"${target}" is not a network: create it first`);
    }
    if (seen.has(network.id)) {
      throw invalid(`${path}.target`, `"${target}" is the same network as an earlier one`);
    }
    seen.add(network.id);
    for (const alias of aliases) checkName(`${path}.aliases`, alias);
  }
}
