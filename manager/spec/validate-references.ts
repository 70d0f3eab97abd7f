/** What a service refers to by ID or name, secrets and configs: found, completed, and without two at one place. Pure. */
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type ContainerFile, configFile, secretFile } from "#proto/file-target.ts";
import { type ContainerSpec, ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type ConfigReference,
  ConfigReferenceSchema,
  FileTargetSchema,
  type SecretReference,
  SecretReferenceSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { find } from "../store/resolve.ts";
import type { View } from "../store/store.ts";
import { invalid, parsed } from "./field.ts";

/**
 * The container with both ID and name in each of its references, and every file's place, owner and mode. Where the ID is gone,
 * as in the spec before a rotation, the name counts: the present one has it. One that was rotated goes by its earlier name.
 */
export function completeReferences(
  path: string,
  container: ContainerSpec,
  view: View,
): ContainerSpec {
  const taken = new Map(
    container.mounts.map(({ target }) => [posix.resolve("/", target), "a mount"]),
  );
  const secrets = container.secrets.map((reference, index) =>
    completeSecret(`${path}.secrets[${index}]`, reference, view),
  );
  const configs = container.configs.map((reference, index) =>
    completeConfig(`${path}.configs[${index}]`, reference, view),
  );
  for (const [index, secret] of secrets.entries()) {
    take(taken, `${path}.secrets[${index}]`, secretFile(secret), `secret "${secret.secretName}"`);
  }
  for (const [index, config] of configs.entries()) {
    take(taken, `${path}.configs[${index}]`, configFile(config), `config "${config.configName}"`);
  }
  return create(ContainerSpecSchema, { ...container, secrets, configs });
}

function completeSecret(path: string, reference: SecretReference, view: View): SecretReference {
  const ref = reference.secretId || reference.secretName;
  if (ref === "") throw invalid(path, "names no secret");
  const secret = find(view, "secret", ref) ?? view.byName("secret", reference.secretName);
  if (secret === undefined) throw invalid(path, `"${ref}" is not a secret: create it first`);
  const secretName = secret.rotatedFrom || (secret.spec?.annotations?.name ?? "");
  const named = create(SecretReferenceSchema, { ...reference, secretId: secret.id, secretName });
  const file = parsed(path, () => secretFile(named));
  return create(SecretReferenceSchema, {
    secretId: secret.id,
    secretName,
    file: fileTarget(reference.file?.name || secretName, file),
  });
}

function completeConfig(path: string, reference: ConfigReference, view: View): ConfigReference {
  const ref = reference.configId || reference.configName;
  if (ref === "") throw invalid(path, "names no config");
  const config = find(view, "config", ref) ?? view.byName("config", reference.configName);
  if (config === undefined) throw invalid(path, `"${ref}" is not a config: create it first`);
  const configName = config.rotatedFrom || (config.spec?.annotations?.name ?? "");
  const named = create(ConfigReferenceSchema, { ...reference, configId: config.id, configName });
  const file = parsed(path, () => configFile(named));
  return create(ConfigReferenceSchema, {
    configId: config.id,
    configName,
    file: fileTarget(reference.file?.name || configName, file),
  });
}

function fileTarget(name: string, { uid, gid, mode }: ContainerFile) {
  return create(FileTargetSchema, { name, uid: `${uid}`, gid: `${gid}`, mode });
}

function take(
  taken: Map<string, string>,
  path: string,
  { path: target }: ContainerFile,
  who: string,
): void {
  const before = taken.get(target);
  if (before !== undefined) {
    throw invalid(`${path}.file`, `has the target "${target}", where ${before} is already`);
  }
  taken.set(target, who);
}
