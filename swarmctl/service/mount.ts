/** One --mount flag: `type=bind,source=/a,target=/b,readonly` or `type=tmpfs,target=/b,tmpfs-size=64m`. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  BindOptionsSchema,
  type Mount,
  MountSchema,
  MountType,
  TmpfsOptionsSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseSizeBytes } from "#proto/size.ts";
import { oneOf, type Pair, parseFields } from "../flags/parse-flag.ts";

const keyOfAlias: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
};

const commonKeys = ["type", "source", "target", "readonly"];
const keysOfType = {
  bind: [...commonKeys, "bind-nonrecursive"],
  tmpfs: [...commonKeys, "tmpfs-size", "tmpfs-mode"],
} as const;

const parseType = oneOf<keyof typeof keysOfType>({ bind: "bind", tmpfs: "tmpfs" });

export function parseMount(text: string): Mount {
  const fields = fieldsOf(parseFields(text));
  const type = fields.get("type");
  if (type === undefined) throw refusal("Say type=bind or type=tmpfs");
  const kind = parseType(type);
  const allowed: readonly string[] = keysOfType[kind];
  for (const key of fields.keys()) {
    if (!allowed.includes(key)) {
      throw refusal(`"${key}" does not go with type=${kind}, which takes ${allowed.join(", ")}`);
    }
  }
  const target = fields.get("target");
  if (!target?.startsWith("/")) throw refusal("Say target=/absolute/path");
  const common = { target, readOnly: parseFlagValue(fields.get("readonly")) };
  return kind === "bind" ? bindMount(common, fields) : tmpfsMount(common, fields);
}

type Fields = ReadonlyMap<string, string>;
type Common = { readonly target: string; readonly readOnly: boolean };

function bindMount(common: Common, fields: Fields): Mount {
  const source = fields.get("source");
  if (!source?.startsWith("/")) throw refusal("Say source=/absolute/path for type=bind");
  const nonRecursive = parseFlagValue(fields.get("bind-nonrecursive"));
  return create(MountSchema, {
    ...common,
    type: MountType.BIND,
    source,
    ...(nonRecursive && { bindOptions: create(BindOptionsSchema, { nonRecursive }) }),
  });
}

function tmpfsMount(common: Common, fields: Fields): Mount {
  if (fields.has("source")) throw refusal("type=tmpfs has no source");
  const size = fields.get("tmpfs-size");
  const mode = fields.get("tmpfs-mode");
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode)) {
    throw refusal(`"${mode}" is not an octal mode such as 1777`);
  }
  return create(MountSchema, {
    ...common,
    type: MountType.TMPFS,
    tmpfsOptions: create(TmpfsOptionsSchema, {
      sizeBytes: size === undefined ? 0n : parseSizeBytes(size),
      mode: mode === undefined ? 0 : Number.parseInt(mode, 8),
    }),
  });
}

function fieldsOf(pairs: readonly Pair[]): Fields {
  const fields = new Map<string, string>();
  for (const { key, value } of pairs) {
    const name = keyOfAlias[key] ?? key;
    if (fields.has(name)) throw refusal(`"${name}" is given twice`);
    fields.set(name, value);
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
