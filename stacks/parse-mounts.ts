/** A service's `volumes` and `tmpfs` → its mounts: Docker's short and long forms, and what `volumes` at the top says. */
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  BindOptionsSchema,
  DriverSchema,
  type Mount,
  MountPropagation,
  MountSchema,
  MountType,
  TmpfsOptionsSchema,
  VolumeOptionsSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseSizeBytes } from "#proto/size.ts";
import { propagations } from "./host-access-words.ts";
import { externalName, parseWrittenMode } from "./parse-files.ts";
import { recordOf } from "./record-of.ts";
import { namespaceLabel } from "./stack.ts";
import type { MountEntry, ServiceFilesEntry } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import type { StackContext } from "./stack-context.ts";

export function parseMounts(
  context: StackContext,
  path: Path,
  { volumes = [], tmpfs = [] }: ServiceFilesEntry,
): Mount[] {
  const mounts = volumes.map((entry, index) => {
    const place = [...path, "volumes", String(index)];
    return mountOf(
      context,
      place,
      typeof entry === "string" ? shortForm(context, place, entry) : entry,
    );
  });
  const targets = typeof tmpfs === "string" ? [tmpfs] : tmpfs;
  return [...mounts, ...targets.map(shortTmpfs)];
}

interface Wish extends MountEntry {
  readonly propagation?: string;
}

/** `[SOURCE:]TARGET[:MODE[,MODE…]]` */
function shortForm({ document }: StackContext, path: Path, text: string): Wish {
  const parts = text.split(":");
  const [source = "", target = "", modes = ""] = parts.length === 1 ? ["", ...parts] : parts;
  if (parts.length > 3 || target === "") {
    throw document.fault(path, `is "${text}", which is not [SOURCE:]TARGET[:MODE]`);
  }
  let wish: Wish = { type: isPath(source) ? "bind" : "volume", source, target };
  for (const mode of modes.split(",").filter((one) => one !== "")) {
    if (mode === "ro") wish = { ...wish, read_only: true };
    else if (mode === "nocopy") wish = { ...wish, volume: { nocopy: true } };
    else if (Object.hasOwn(propagations, mode)) wish = { ...wish, bind: { propagation: mode } };
    else if (["cached", "delegated", "consistent"].includes(mode)) {
      wish = { ...wish, consistency: mode };
      // Labels of SELinux, and what is so already.
    } else if (!["rw", "z", "Z"].includes(mode)) {
      throw document.fault(path, `has the mode "${mode}", which has no meaning`);
    }
  }
  return wish;
}

function isPath(source: string): boolean {
  return /^[/.~]/.test(source);
}

function mountOf(context: StackContext, path: Path, entry: MountEntry): Mount {
  const common = {
    target: entry.target,
    readOnly: entry.read_only ?? false,
    consistency: entry.consistency ?? "",
  };
  switch (entry.type) {
    case "bind":
      return create(MountSchema, { ...common, ...bindOf(context, path, entry) });
    case "volume":
      return create(MountSchema, { ...common, ...volumeOf(context, path, entry) });
    case "tmpfs":
      return create(MountSchema, { ...common, ...tmpfsOf(context, path, entry) });
    default:
      throw context.document.fault([...path, "type"], `is ${entry.type}, which is not supported`);
  }
}

function bindOf(context: StackContext, path: Path, { source = "", bind }: MountEntry) {
  const { propagation = "rprivate", create_host_path = false, recursive } = bind ?? {};
  return {
    type: MountType.BIND,
    source: hostPath(context, path, source),
    ...(bind !== undefined && {
      bindOptions: create(BindOptionsSchema, {
        propagation: propagations[propagation] ?? MountPropagation.RPRIVATE,
        createMountpoint: create_host_path,
        nonRecursive: recursive === "disabled",
        readOnlyNonRecursive: recursive === "writable",
        readOnlyForceRecursive: recursive === "readonly",
      }),
    }),
  };
}

/** Relative to the file's folder, as Docker has it. It is a path of the hosts all the same. */
function hostPath({ document, folder }: StackContext, path: Path, source: string): string {
  if (source.startsWith("/") || source.startsWith("{{")) return source;
  if (source.startsWith("~")) {
    throw document.fault(path, `binds "${source}": write a path that begins with "/"`);
  }
  if (source === "") throw document.fault(path, "is a bind without a source");
  return posix.resolve(folder, source);
}

function volumeOf(context: StackContext, path: Path, { source = "", volume }: MountEntry) {
  const { nocopy: noCopy = false, subpath = "" } = volume ?? {};
  if (source === "") {
    const options = create(VolumeOptionsSchema, { noCopy });
    return { type: MountType.VOLUME, ...(volume !== undefined && { volumeOptions: options }) };
  }
  const { volumes = {} } = context.content;
  if (!Object.hasOwn(volumes, source)) {
    throw context.document.fault(
      path,
      `names the volume "${source}", which the file does not define`,
    );
  }
  const entry = volumes[source] ?? {};
  const external = externalName(source, entry);
  const place = ["volumes", source];
  const driverOptions = recordOf(context, [...place, "driver_opts"], entry.driver_opts);
  const hasDriver = entry.driver !== undefined || Object.keys(driverOptions).length > 0;
  const options = create(VolumeOptionsSchema, {
    noCopy,
    subpath,
    ...(external === undefined && {
      labels: {
        ...recordOf(context, [...place, "labels"], entry.labels),
        [namespaceLabel]: context.name,
      },
    }),
    ...(external === undefined &&
      hasDriver && {
        driverConfig: create(DriverSchema, {
          name: entry.driver ?? "local",
          options: driverOptions,
        }),
      }),
  });
  const name = external ?? entry.name ?? `${context.name}_${source}`;
  return { type: MountType.VOLUME, source: name, volumeOptions: options };
}

function tmpfsOf({ document }: StackContext, path: Path, { source, tmpfs }: MountEntry) {
  if (source !== undefined) throw document.fault(path, "is a tmpfs with a source");
  const { size = 0, mode } = tmpfs ?? {};
  const written = document.text([...path, "tmpfs", "mode"]);
  try {
    const sizeBytes = typeof size === "number" ? BigInt(size) : parseSizeBytes(size);
    const bits = mode === undefined ? 0 : parseWrittenMode(written ?? String(mode));
    return {
      type: MountType.TMPFS,
      tmpfsOptions: create(TmpfsOptionsSchema, { sizeBytes, mode: bits }),
    };
  } catch (thrown) {
    throw document.fault([...path, "tmpfs"], `is refused: ${Fault.from(thrown).message}`);
  }
}

/** `TARGET[:OPTIONS]` */
function shortTmpfs(text: string): Mount {
  const at = text.indexOf(":");
  const target = at < 0 ? text : text.slice(0, at);
  const options = at < 0 ? "" : text.slice(at + 1);
  return create(MountSchema, {
    type: MountType.TMPFS,
    target,
    tmpfsOptions: create(TmpfsOptionsSchema, { options }),
  });
}
