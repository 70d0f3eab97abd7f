/** What users write of a container and its host, in flags and in stack files alike: devices, modes, limits, confinement. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  AppArmorMode,
  AppArmorOptionsSchema,
  type Device,
  DeviceSchema,
  MountPropagation,
  type Privileges,
  PrivilegesSchema,
  SeccompMode,
  SeccompOptionsSchema,
  SelinuxContextSchema,
  type Ulimit,
  UlimitSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { checkDevice } from "#proto/host-access.ts";
import { checkUlimit } from "#proto/kernel-names.ts";

export const propagations: Readonly<Record<string, MountPropagation>> = {
  rprivate: MountPropagation.RPRIVATE,
  private: MountPropagation.PRIVATE,
  rshared: MountPropagation.RSHARED,
  shared: MountPropagation.SHARED,
  rslave: MountPropagation.RSLAVE,
  slave: MountPropagation.SLAVE,
};

/** A file's mode, in octal digits however it is written: 440, 0440, 0o440. In a spec 0 stands for the default. */
export function parseMode(text: string): number {
  const digits = /^(?:0o)?([0-7]{1,5})$/.exec(text)?.[1];
  const mode = Number.parseInt(digits ?? "", 8);
  if (mode > 0 && mode <= 0o7777) return mode;
  throw refusal(`"${text}" is not an octal mode of 1 to 7777, such as 0440`);
}

/** PATH[:PATH[:rwm]], or PATH:rwm. */
export function parseDevice(text: string): Device {
  const [pathOnHost = "", second = "", third, ...rest] = text.split(":");
  if (rest.length > 0) throw refusal(`"${text}" is not PATH[:PATH[:rwm]]`);
  const permissionsOnly = third === undefined && /^[rwm]+$/.test(second);
  const device = create(DeviceSchema, {
    pathOnHost,
    pathInContainer: permissionsOnly ? "" : second,
    cgroupPermissions: permissionsOnly ? second : (third ?? ""),
  });
  checkDevice(device);
  return device;
}

/** NAME=SOFT[:HARD]; -1 is no limit. */
export function parseUlimit(text: string): Ulimit {
  const { name, soft, hard } =
    /^(?<name>\w+)=(?<soft>-?\d{1,18})(?::(?<hard>-?\d{1,18}))?$/.exec(text)?.groups ?? {};
  if (name === undefined || soft === undefined) {
    throw refusal(`"${text}" is not NAME=SOFT[:HARD], such as nofile=1024:2048`);
  }
  const ulimit = create(UlimitSchema, { name, soft: BigInt(soft), hard: BigInt(hard ?? soft) });
  checkUlimit(ulimit);
  return ulimit;
}

/** NAME:IP or NAME=IP → "IP NAME", a line of /etc/hosts. The IP may have colons. */
export function parseExtraHost(text: string): string {
  const at = text.search(/[:=]/);
  const name = text.slice(0, Math.max(at, 0));
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, "$1");
  if (name === "" || address === "") throw refusal(`"${text}" is not NAME:IP`);
  return `${address} ${name}`;
}

/** The privileges with one more `seccomp=…`, `apparmor=…`, `label=…` or `no-new-privileges`; ":" may stand for "=". */
export function withSecurityOpt(before: Privileges | undefined, text: string): Privileges {
  const privileges = before ?? create(PrivilegesSchema);
  const at = text.search(/[:=]/);
  const key = at < 0 ? text : text.slice(0, at);
  const value = at < 0 ? "" : text.slice(at + 1);
  switch (key) {
    case "seccomp":
      return { ...privileges, seccomp: seccompOf(value) };
    case "apparmor":
      return { ...privileges, apparmor: apparmorOf(value) };
    case "label":
      return withLabel(privileges, value);
    case "no-new-privileges":
      return { ...privileges, noNewPrivileges: booleanOf(key, value) };
    default:
      throw refusal(
        `"${text}" is not known: write seccomp=…, apparmor=…, label=… or no-new-privileges`,
      );
  }
}

const isDefault = (value: string) => ["default", "builtin"].includes(value);

/** Whether what stands after "seccomp=" is the name of a file that holds a profile. */
export function isSeccompFile(value: string): boolean {
  return value !== "" && value !== "unconfined" && !isDefault(value) && !value.startsWith("{");
}

function seccompOf(value: string) {
  if (isDefault(value)) return create(SeccompOptionsSchema);
  if (value === "unconfined") {
    return create(SeccompOptionsSchema, { mode: SeccompMode.UNCONFINED });
  }
  if (value.startsWith("{")) {
    const profile = new TextEncoder().encode(value);
    return create(SeccompOptionsSchema, { mode: SeccompMode.CUSTOM, profile });
  }
  throw refusal(`seccomp=${value} is none of default, unconfined and a profile in JSON`);
}

function apparmorOf(value: string) {
  if (value === "") throw refusal("apparmor= has no value: write default, unconfined or a profile");
  if (isDefault(value)) return create(AppArmorOptionsSchema);
  if (value === "unconfined") {
    return create(AppArmorOptionsSchema, { mode: AppArmorMode.DISABLED });
  }
  return create(AppArmorOptionsSchema, { profile: value });
}

/** `disable`, or a part of the label: `user:U`, `role:R`, `type:T`, `level:L`. */
function withLabel(privileges: Privileges, value: string): Privileges {
  if (value === "disable") {
    return { ...privileges, selinuxContext: create(SelinuxContextSchema, { disable: true }) };
  }
  const { part, word } = /^(?<part>user|role|type|level):(?<word>.+)$/.exec(value)?.groups ?? {};
  if (part === undefined || word === undefined) {
    throw refusal(`label=${value} is not known: write disable, user:U, role:R, type:T or level:L`);
  }
  const before = privileges.selinuxContext ?? create(SelinuxContextSchema);
  return { ...privileges, selinuxContext: { ...before, disable: false, [part]: word } };
}

function booleanOf(key: string, value: string): boolean {
  if (value === "" || value === "true") return true;
  if (value === "false") return false;
  throw refusal(`${key}=${value} is not known: write true or false`);
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
