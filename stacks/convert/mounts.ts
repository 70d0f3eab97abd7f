/** A service's `volumes` and `tmpfs`, and what `volumes` at the top says → its mounts. */
import { create } from "@bufbuild/protobuf";
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
import type { MountEntry, ServiceEntry } from "../compose/compose-file.ts";
import { parseMode, propagations } from "../host-access-words.ts";
import { namespaceLabel } from "../stack.ts";
import { type Reader, refusal } from "./reader.ts";

/** `reader`: of the service. */
export function mounts(reader: Reader, { volumes = [], tmpfs = [] }: ServiceEntry): Mount[] {
  return [
    ...volumes.map((entry, index) => mountOf(reader.under("volumes", String(index)), entry)),
    ...reader.each("tmpfs", tmpfs, shortTmpfs),
  ];
}

function mountOf(reader: Reader, entry: MountEntry): Mount {
  if (entry.target === undefined) throw reader.fault("has no target");
  const common = {
    target: entry.target,
    readOnly: entry.read_only ?? false,
    consistency: entry.consistency ?? "",
  };
  switch (entry.type) {
    case "bind":
      return create(MountSchema, { ...common, ...bindOf(reader, entry) });
    case "volume":
      return create(MountSchema, { ...common, ...volumeOf(reader, entry) });
    case "tmpfs":
      return create(MountSchema, { ...common, ...tmpfsOf(reader, entry) });
    default:
      throw reader.under("type").fault(`is ${entry.type}, which is not supported`);
  }
}

/** The path is one of the hosts. */
function bindOf(reader: Reader, { source = "", bind }: MountEntry) {
  if (source === "") throw reader.fault("is a bind without a source");
  const { propagation = "rprivate", create_host_path = false, recursive } = bind ?? {};
  return {
    type: MountType.BIND,
    source,
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

function volumeOf(reader: Reader, { source = "", volume }: MountEntry) {
  const { nocopy: noCopy = false, subpath = "", labels: own = {} } = volume ?? {};
  if (source === "") {
    const options = create(VolumeOptionsSchema, { noCopy, labels: { ...own } });
    return { type: MountType.VOLUME, ...(volume !== undefined && { volumeOptions: options }) };
  }
  const { name: stack, content } = reader.context;
  const { volumes = {} } = content;
  if (!Object.hasOwn(volumes, source)) {
    throw reader.fault(`names the volume "${source}", which the file does not define`);
  }
  const { name = "", external, driver, driver_opts: given = {}, labels } = volumes[source] ?? {};
  if (external) {
    const volumeOptions = create(VolumeOptionsSchema, { noCopy, subpath });
    return { type: MountType.VOLUME, source: name || source, volumeOptions };
  }
  const hasDriver = driver !== undefined || Object.keys(given).length > 0;
  const driverConfig = create(DriverSchema, { name: driver ?? "local", options: { ...given } });
  const volumeOptions = create(VolumeOptionsSchema, {
    noCopy,
    subpath,
    labels: { ...labels, ...own, [namespaceLabel]: stack },
    ...(hasDriver && { driverConfig }),
  });
  return { type: MountType.VOLUME, source: name || `${stack}_${source}`, volumeOptions };
}

function tmpfsOf(reader: Reader, { source, tmpfs }: MountEntry) {
  if (source !== undefined) throw reader.fault("is a tmpfs with a source");
  const place = reader.under("tmpfs");
  const sizeBytes = place.one("size", tmpfs?.size, (size) => parseSizeBytes(String(size))) ?? 0n;
  const mode = place.one("mode", tmpfs?.mode, parseMode) ?? 0;
  return { type: MountType.TMPFS, tmpfsOptions: create(TmpfsOptionsSchema, { sizeBytes, mode }) };
}

/** `TARGET[:OPTIONS]` */
function shortTmpfs(text: string): Mount {
  const [target = "", ...rest] = text.split(":");
  if (target === "") throw refusal(`"${text}" is not TARGET[:OPTIONS]`);
  return create(MountSchema, {
    type: MountType.TMPFS,
    target,
    tmpfsOptions: create(TmpfsOptionsSchema, { options: rest.join(":") }),
  });
}
