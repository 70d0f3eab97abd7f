/** What the mounts of a container must look like. Pure. */
import { Fault } from "#proto/fault.ts";
import { type Mount, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkAbsolutePath, checkRange, invalid } from "./field.ts";

export function checkMounts(path: string, mounts: readonly Mount[]): void {
  const targets = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const where = `${path}[${index}]`;
    checkAbsolutePath(`${where}.target`, mount.target);
    const target = mount.target.replace(/\/+$/, "");
    if (target === "") throw invalid(`${where}.target`, "is the root of the container");
    if (targets.has(target)) throw invalid(`${where}.target`, `"${target}" is used twice`);
    targets.add(target);
    checkType(where, mount);
  }
}

function checkType(path: string, mount: Mount): void {
  const { type, source, bindOptions, tmpfsOptions } = mount;
  switch (type) {
    case MountType.BIND:
      checkAbsolutePath(`${path}.source`, source);
      if (tmpfsOptions !== undefined) throw invalid(`${path}.tmpfs_options`, "is set for a bind");
      return;
    case MountType.TMPFS:
      if (source !== "") throw invalid(`${path}.source`, "is set: a tmpfs has none");
      if (bindOptions !== undefined) throw invalid(`${path}.bind_options`, "is set for a tmpfs");
      checkRange(`${path}.tmpfs_options.size_bytes`, tmpfsOptions?.sizeBytes ?? 0n, { min: 0n });
      checkRange(`${path}.tmpfs_options.mode`, tmpfsOptions?.mode ?? 0, { min: 0, max: 0o7777 });
      return;
    default: {
      const [name] = Object.entries(MountType).find(([, value]) => value === type) ?? [];
      const message = `${path}.type ${name ?? type} is not supported yet: use BIND or TMPFS`;
      throw new Fault("unimplemented", message);
    }
  }
}
