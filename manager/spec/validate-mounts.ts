/** What the mounts of a container must look like, as far as it can be said without the node. Pure. */
import { posix } from "node:path";
import { Fault } from "#proto/fault.ts";
import {
  type BindOptions,
  type Mount,
  MountPropagation,
  MountType,
  type VolumeOptions,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isTemplate } from "#proto/template.ts";
import {
  checkVolumeDriver,
  checkVolumeName,
  checkVolumeOptions,
  parseSubpath,
  parseTmpfsOptions,
} from "#proto/volume-rules.ts";
import { checkAbsolutePath, checkEnum, checkRange, invalid, parsed } from "./field.ts";

/** Docker's words. They mean something on other systems than Linux alone. */
const consistencies = ["", "default", "consistent", "cached", "delegated"];

export function checkMounts(path: string, mounts: readonly Mount[]): void {
  const targets = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const where = `${path}[${index}]`;
    if (!isTemplate(mount.target)) checkAbsolutePath(`${where}.target`, mount.target);
    const target = posix.resolve("/", mount.target);
    if (target === "/") throw invalid(`${where}.target`, "is the root of the container");
    if (targets.has(target)) throw invalid(`${where}.target`, `"${target}" is used twice`);
    targets.add(target);
    if (!consistencies.includes(mount.consistency)) {
      const words = consistencies.slice(1).join(", ");
      throw invalid(`${where}.consistency`, `"${mount.consistency}" is none of ${words}`);
    }
    checkType(where, mount);
  }
}

function checkType(path: string, mount: Mount): void {
  const { type, source, bindOptions, volumeOptions } = mount;
  switch (type) {
    case MountType.BIND:
      refuseOptions(path, mount, "bindOptions", "a bind");
      if (!isTemplate(source)) checkAbsolutePath(`${path}.source`, source);
      if (bindOptions !== undefined) checkBind(`${path}.bind_options`, mount, bindOptions);
      return;
    case MountType.VOLUME:
      refuseOptions(path, mount, "volumeOptions", "a volume");
      if (source !== "" && !isTemplate(source))
        parsed(`${path}.source`, () => checkVolumeName(source));
      if (volumeOptions !== undefined) checkVolume(`${path}.volume_options`, mount, volumeOptions);
      return;
    case MountType.TMPFS:
      return checkTmpfs(path, mount);
    case MountType.NPIPE:
      throw new Fault("unimplemented", `${path}.type NPIPE is for Windows: use BIND`);
    case MountType.CLUSTER: {
      const message = `${path}.type CLUSTER (CSI) is not supported yet: use VOLUME with driver options`;
      throw new Fault("unimplemented", message);
    }
    default:
      throw invalid(`${path}.type`, `is ${String(type)}, which has no meaning`);
  }
}

const optionFields = {
  bindOptions: "bind_options",
  volumeOptions: "volume_options",
  tmpfsOptions: "tmpfs_options",
} as const;
type OptionField = keyof typeof optionFields;

function refuseOptions(path: string, mount: Mount, own: OptionField, what: string): void {
  for (const [key, name] of Object.entries(optionFields)) {
    if (key === own || mount[key as OptionField] === undefined) continue;
    throw invalid(`${path}.${name}`, `is set for ${what}`);
  }
}

function checkBind(path: string, { readOnly }: Mount, options: BindOptions): void {
  const { propagation, readOnlyNonRecursive, readOnlyForceRecursive } = options;
  checkEnum(`${path}.propagation`, propagation, MountPropagation);
  const forms = {
    read_only_non_recursive: readOnlyNonRecursive,
    read_only_force_recursive: readOnlyForceRecursive,
  };
  for (const [name, wanted] of Object.entries(forms)) {
    if (wanted && !readOnly) throw invalid(`${path}.${name}`, "is set without read_only");
  }
  if (!readOnlyForceRecursive) return;
  const where = `${path}.read_only_force_recursive`;
  if (readOnlyNonRecursive) throw invalid(where, "is set beside read_only_non_recursive");
  if (options.nonRecursive) throw invalid(where, "is set beside non_recursive");
  if (propagation !== MountPropagation.RPRIVATE) throw invalid(where, "needs RPRIVATE propagation");
}

function checkVolume(path: string, { source }: Mount, options: VolumeOptions): void {
  const { driverConfig, subpath } = options;
  parsed(`${path}.driver_config.name`, () => checkVolumeDriver(driverConfig?.name ?? ""));
  parsed(`${path}.driver_config.options`, () => checkVolumeOptions(driverConfig?.options ?? {}));
  if (subpath === "") return;
  if (source === "") throw invalid(`${path}.subpath`, "is set for a volume without a name");
  parsed(`${path}.subpath`, () => parseSubpath(subpath));
}

function checkTmpfs(path: string, mount: Mount): void {
  refuseOptions(path, mount, "tmpfsOptions", "a tmpfs");
  if (mount.source !== "") throw invalid(`${path}.source`, "is set: a tmpfs has none");
  const { sizeBytes = 0n, mode = 0, options = "" } = mount.tmpfsOptions ?? {};
  checkRange(`${path}.tmpfs_options.size_bytes`, sizeBytes, { min: 0n });
  checkRange(`${path}.tmpfs_options.mode`, mode, { min: 0, max: 0o7777 });
  parsed(`${path}.tmpfs_options.options`, () => parseTmpfsOptions(options));
}
