/** The flags of what containers find in their file system: mounts, secrets, configs; given anew, or added and taken out. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type ConfigReference,
  ConfigReferenceSchema,
  FileTargetSchema,
  type Mount,
  type SecretReference,
  SecretReferenceSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseMode } from "#stacks/host-access-words.ts";
import { flags, parseFields, text } from "../flags/parse-flag.ts";
import { changedList } from "./changed-list.ts";
import { parseMount } from "./mount.ts";

export interface FileFlags {
  readonly mount?: Mount[];
  readonly secret?: SecretReference[];
  readonly config?: ConfigReference[];
  readonly mountAdd?: Mount[];
  readonly mountRm?: string[];
  readonly secretAdd?: SecretReference[];
  readonly secretRm?: string[];
  readonly configAdd?: ConfigReference[];
  readonly configRm?: string[];
}

const mountForm = "type=volume|bind|tmpfs,source=…,target=…";
const fileForm = "name, or source=x,target=y,uid=,gid=,mode=";

export function addFileFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("Volumes, secrets and configs:");
  if (verb === "create") {
    command
      .option("--mount <mount>", `${mountForm} (repeat)`, flags(parseMount))
      .option("--secret <secret>", `${fileForm} (repeat)`, flags(parseSecret))
      .option("--config <config>", `${fileForm} (repeat)`, flags(parseConfig));
    return;
  }
  command
    .option("--mount-add <mount>", `mount: add, ${mountForm} (repeat)`, flags(parseMount))
    .option("--mount-rm <target>", "mount: take out, by its target (repeat)", flags(text))
    .option("--secret-add <secret>", `secret: add, ${fileForm} (repeat)`, flags(parseSecret))
    .option("--secret-rm <secret>", "secret: take out, by its name (repeat)", flags(text))
    .option("--config-add <config>", `config: add, ${fileForm} (repeat)`, flags(parseConfig))
    .option("--config-rm <config>", "config: take out, by its name (repeat)", flags(text));
}

type Files = Pick<ContainerSpec, "mounts" | "secrets" | "configs">;

export function filesFromFlags({ mount, secret, config }: FileFlags): Files {
  return { mounts: mount ?? [], secrets: secret ?? [], configs: config ?? [] };
}

export function changedFiles(before: Files, options: FileFlags): Files {
  const { mountAdd, mountRm, secretAdd, secretRm, configAdd, configRm } = options;
  return {
    mounts: changedList(before.mounts, { add: mountAdd, rm: mountRm }, ({ target }) => target),
    // A secret may stand at several places: what is added replaces what is at its place.
    secrets: changedList(
      withoutNamed(before.secrets, secretRm, ({ secretName }) => secretName),
      { add: secretAdd },
      ({ file, secretName }) => file?.name || secretName,
    ),
    configs: changedList(
      withoutNamed(before.configs, configRm, ({ configName }) => configName),
      { add: configAdd },
      ({ file, configName }) => file?.name || configName,
    ),
  };
}

function withoutNamed<T>(
  list: readonly T[],
  names: readonly string[] = [],
  nameOf: (one: T) => string,
) {
  return list.filter((one) => !names.includes(nameOf(one)));
}

export function parseSecret(value: string): SecretReference {
  const { source, file } = parseReference(value);
  return create(SecretReferenceSchema, { secretName: source, file });
}

export function parseConfig(value: string): ConfigReference {
  const { source, file } = parseReference(value);
  return create(ConfigReferenceSchema, { configName: source, file });
}

const keyOfAlias: Readonly<Record<string, string>> = { src: "source", dst: "target" };
const keys = ["source", "target", "uid", "gid", "mode"];

function parseReference(value: string) {
  const fields = new Map<string, string>();
  // One word is a name.
  const pairs = /[=,]/.test(value) ? parseFields(value) : [{ key: "source", value }];
  for (const pair of pairs) {
    const key = keyOfAlias[pair.key] ?? pair.key;
    if (!keys.includes(key)) throw refusal(`"${pair.key}" is none of ${keys.join(", ")}`);
    if (fields.has(key)) throw refusal(`"${key}" is given twice`);
    fields.set(key, pair.value);
  }
  const source = fields.get("source") ?? "";
  if (source === "") throw refusal("Say source=NAME");
  const mode = fields.get("mode");
  const file = create(FileTargetSchema, {
    name: fields.get("target") || source,
    uid: fields.get("uid") ?? "0",
    gid: fields.get("gid") ?? "0",
    mode: mode === undefined ? 0o444 : parseMode(mode),
  });
  return { source, file };
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
