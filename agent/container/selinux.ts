/**
 * Labels of SELinux, for containers that ask for one. The kernel then lets a container's process read only what is
 * labelled for containers: its overlay is mounted with that label, its generated files are given it.
 */
import { Fault } from "#proto/fault.ts";
import type { SelinuxContext } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Exec } from "../exec.ts";

export interface Labels {
  readonly process: string;
  readonly mount: string;
}

/** Without a context a container has swarmd's label, as Docker's without --selinux-enabled. */
export function planSelinux(
  context: SelinuxContext | undefined,
  selinux: boolean,
): Labels | undefined {
  if (context === undefined || context.disable) return undefined;
  if (!selinux) {
    throw new Fault(
      "failed-precondition",
      "privileges.selinux_context cannot be applied: this host has no SELinux; leave it out, or choose nodes that have it",
    );
  }
  const { user, role, type, level } = context;
  const owner = user || "system_u";
  const range = level || "s0";
  return {
    process: [owner, role || "system_r", type || "container_t", range].join(":"),
    mount: [owner, "object_r", "container_file_t", range].join(":"),
  };
}

/** The options of an overlay, with the label of all its files. A level has commas in it. */
export function labelledMount(options: string, label: string | undefined): string {
  return label === undefined ? options : `${options},context="${label}"`;
}

export async function labelFiles(
  label: string | undefined,
  paths: readonly string[],
  exec: Exec,
): Promise<void> {
  if (label !== undefined) await exec.run("chcon", ["--", label, ...paths]);
}
