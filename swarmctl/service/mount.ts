/** One --mount flag, with Docker's keys: `type=volume,source=data,target=/data`, `type=bind,…`, `type=tmpfs,…`. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type BindOptions,
  BindOptionsSchema,
  DriverSchema,
  type Mount,
  MountSchema,
  MountType,
  TmpfsOptionsSchema,
  VolumeOptionsSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseSizeBytes } from "#proto/size.ts";
import { parseMode, propagations } from "#stacks/host-access-words.ts";
import { oneOf, type Pair, pair, parseFields, recordOf } from "../flags/parse-flag.ts";

const keyOfAlias: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
};

const commonKeys = ["type", "source", "target", "readonly", "consistency"];
const keysOfType = {
  bind: [
    ...commonKeys,
    "bind-propagation",
    "bind-nonrecursive",
    "bind-recursive",
    "bind-create-src",
  ],
  volume: [
    ...commonKeys,
    "volume-driver",
    "volume-label",
    "volume-nocopy",
    "volume-opt",
    "volume-subpath",
  ],
  tmpfs: [...commonKeys, "tmpfs-size", "tmpfs-mode", "tmpfs-options"],
} as const;

const repeatable = ["volume-label", "volume-opt"];

const parseType = oneOf<keyof typeof keysOfType>({
  bind: "bind",
  volume: "volume",
  tmpfs: "tmpfs",
});

const parsePropagation = oneOf(propagations);

/** Docker's four words for what is mounted below the source. */
type Recursion = Partial<
  Pick<BindOptions, "nonRecursive" | "readOnlyNonRecursive" | "readOnlyForceRecursive">
>;

const parseRecursive = oneOf<Recursion>({
  enabled: {},
  disabled: { nonRecursive: true },
  writable: { readOnlyNonRecursive: true },
  readonly: { readOnlyForceRecursive: true },
});

export function parseMount(text: string): Mount {
  const fields = fieldsOf(parseFields(text));
  const kind = parseType(fields.get("type")?.[0] ?? "volume");
  const allowed: readonly string[] = keysOfType[kind];
  for (const key of fields.keys()) {
    if (!allowed.includes(key)) {
      throw refusal(`"${key}" does not go with type=${kind}, which takes ${allowed.join(", ")}`);
    }
  }
  const one = (key: string) => fields.get(key)?.[0];
  const target = one("target") ?? "";
  if (!/^(\/|\{\{)/.test(target)) throw refusal("Say target=/absolute/path");
  const common = {
    target,
    readOnly: parseFlagValue(one("readonly")),
    consistency: one("consistency") ?? "",
  };
  const make = { bind: bindMount, volume: volumeMount, tmpfs: tmpfsMount }[kind];
  return make(common, fields);
}

type Fields = ReadonlyMap<string, readonly string[]>;
type Common = Pick<Mount, "target" | "readOnly" | "consistency">;

function bindMount(common: Common, fields: Fields): Mount {
  const source = fields.get("source")?.[0] ?? "";
  if (!/^(\/|\{\{)/.test(source)) throw refusal("Say source=/absolute/path for type=bind");
  const flag = (key: string) => parseFlagValue(fields.get(key)?.[0]);
  const propagation = fields.get("bind-propagation")?.[0];
  const options = {
    nonRecursive: flag("bind-nonrecursive"),
    createMountpoint: flag("bind-create-src"),
    ...(propagation !== undefined && { propagation: parsePropagation(propagation) }),
    ...parseRecursive(fields.get("bind-recursive")?.[0] ?? "enabled"),
  };
  const said = [...fields.keys()].some((key) => key.startsWith("bind-"));
  return create(MountSchema, {
    ...common,
    type: MountType.BIND,
    source,
    ...(said && { bindOptions: create(BindOptionsSchema, options) }),
  });
}

function volumeMount(common: Common, fields: Fields): Mount {
  const pairs = (key: string) => recordOf((fields.get(key) ?? []).map(pair));
  const driver = fields.get("volume-driver")?.[0];
  const driverOptions = pairs("volume-opt");
  const hasDriver = driver !== undefined || Object.keys(driverOptions).length > 0;
  const options = {
    labels: pairs("volume-label"),
    noCopy: parseFlagValue(fields.get("volume-nocopy")?.[0]),
    subpath: fields.get("volume-subpath")?.[0] ?? "",
    ...(hasDriver && {
      driverConfig: create(DriverSchema, { name: driver ?? "local", options: driverOptions }),
    }),
  };
  const said = [...fields.keys()].some((key) => key.startsWith("volume-"));
  return create(MountSchema, {
    ...common,
    type: MountType.VOLUME,
    source: fields.get("source")?.[0] ?? "",
    ...(said && { volumeOptions: create(VolumeOptionsSchema, options) }),
  });
}

function tmpfsMount(common: Common, fields: Fields): Mount {
  if (fields.has("source")) throw refusal("type=tmpfs has no source");
  const size = fields.get("tmpfs-size")?.[0];
  const mode = fields.get("tmpfs-mode")?.[0];
  return create(MountSchema, {
    ...common,
    type: MountType.TMPFS,
    tmpfsOptions: create(TmpfsOptionsSchema, {
      sizeBytes: size === undefined ? 0n : parseSizeBytes(size),
      mode: mode === undefined ? 0 : parseMode(mode),
      options: fields.get("tmpfs-options")?.[0] ?? "",
    }),
  });
}

function fieldsOf(pairs: readonly Pair[]): Fields {
  const fields = new Map<string, string[]>();
  for (const { key, value } of pairs) {
    const name = keyOfAlias[key] ?? key;
    const before = fields.get(name) ?? [];
    if (before.length > 0 && !repeatable.includes(name)) throw refusal(`"${name}" is given twice`);
    fields.set(name, [...before, value]);
  }
  return fields;
}

/** A key that is true when it is there, or says so: `readonly`, `readonly=true`, `readonly=1`. */
function parseFlagValue(value: string | undefined): boolean {
  if (value === undefined) return false;
  return oneOf({ "": true, "1": true, true: true, "0": false, false: false })(value);
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
