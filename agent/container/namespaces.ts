/** Which namespaces a container has to itself, which it shares with its host, and its place among the cgroups. Pure. */
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  checkCgroupParent,
  checkIpcMode,
  checkPidMode,
  checkUsernsMode,
} from "#proto/host-access.ts";

export interface OciNamespace {
  readonly type: string;
  readonly path?: string;
}

export interface Surroundings {
  /** Path of the task's network namespace; undefined: the host's. */
  readonly networkNamespace: string | undefined;
  readonly cgroupVersion: 1 | 2;
}

/** Users are not remapped: root in a container is the host's root, with the capabilities that the container has. */
export function planNamespaces(
  spec: Pick<ContainerSpec, "pidMode" | "ipcMode" | "usernsMode">,
  { networkNamespace, cgroupVersion }: Surroundings,
): OciNamespace[] {
  checkPidMode(spec.pidMode);
  checkIpcMode(spec.ipcMode);
  checkUsernsMode(spec.usernsMode);
  return [
    ...(spec.pidMode === "host" ? [] : [{ type: "pid" }]),
    { type: "mount" },
    ...(spec.ipcMode === "host" ? [] : [{ type: "ipc" }]),
    { type: "uts" },
    // On v1 it would show other paths than those that are mounted.
    ...(cgroupVersion === 2 ? [{ type: "cgroup" }] : []),
    ...(networkNamespace === undefined ? [] : [{ type: "network", path: networkNamespace }]),
  ];
}

/** `containers` is the folder of all containers in each hierarchy. The last folder is the task's: it is known by that. */
export function planCgroupsPath(
  { cgroupParent }: Pick<ContainerSpec, "cgroupParent">,
  containers: string,
  taskId: string,
): string {
  checkCgroupParent(cgroupParent);
  const parent = cgroupParent.replace(/\/$/, "");
  if (parent === "") return `/${containers}/${taskId}`;
  return parent.startsWith("/") ? `${parent}/${taskId}` : `/${containers}/${parent}/${taskId}`;
}
