/** What a task's containers read in the files of its secrets and configs: templates filled in. Pure. */
import { Fault } from "#proto/fault.ts";
import { configFile, type ContainerFile, secretFile } from "#proto/file-target.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ConfigReference, SecretReference } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  evaluateTemplate,
  parseTemplate,
  type TemplateFunctions,
  type TemplateValues,
} from "#proto/template.ts";
import type { FileSet } from "./file-objects.ts";

export interface FileContent extends ContainerFile {
  readonly data: Uint8Array;
}

export type FileWishes = Pick<ContainerSpec, "secrets" | "configs" | "env">;

export function planFiles(
  wishes: FileWishes,
  known: FileSet,
  values: TemplateValues,
): readonly FileContent[] {
  const calls = functionsOf(wishes, known);
  const filled = (what: string, object: Secret | Config) => {
    const data = object.spec?.data ?? new Uint8Array();
    if (object.spec?.templating === undefined) return data;
    try {
      const template = parseTemplate(Buffer.from(data).toString(), "file");
      return Buffer.from(evaluateTemplate(template, values, calls));
    } catch (thrown) {
      throw Fault.wrap(`Cannot fill in the template in ${what}`, thrown);
    }
  };
  return [
    ...wishes.secrets.map((reference) => ({
      ...secretFile(reference),
      data: filled(`secret "${reference.secretName}"`, secretOf(reference, known)),
    })),
    ...wishes.configs.map((reference) => ({
      ...configFile(reference),
      data: filled(`config "${reference.configName}"`, configOf(reference, known)),
    })),
  ];
}

function secretOf({ secretId, secretName }: SecretReference, { secrets }: FileSet): Secret {
  const secret = secrets.get(secretId);
  if (secret !== undefined) return secret;
  throw new Fault("failed-precondition", `secret "${secretName}" does not exist any more`);
}

function configOf({ configId, configName }: ConfigReference, { configs }: FileSet): Config {
  const config = configs.get(configId);
  if (config !== undefined) return config;
  throw new Fault("failed-precondition", `config "${configName}" does not exist any more`);
}

function missing(noun: string, target: string): Fault {
  return new Fault("failed-precondition", `the service has no ${noun} with the target "${target}"`);
}

/** A template may name what the task has itself, by the targets of its files (Swarm). What is read is taken as it is. */
function functionsOf(wishes: FileWishes, known: FileSet): TemplateFunctions {
  return {
    secret: (target) => {
      const found = wishes.secrets.find((one) => (one.file?.name || one.secretName) === target);
      if (found === undefined) throw missing("secret", target);
      return Buffer.from(secretOf(found, known).spec?.data ?? []).toString();
    },
    config: (target) => {
      const found = wishes.configs.find((one) => (one.file?.name || one.configName) === target);
      if (found === undefined) throw missing("config", target);
      return Buffer.from(configOf(found, known).spec?.data ?? []).toString();
    },
    env: (name) => {
      const entry = wishes.env.find((one) => one.startsWith(`${name}=`));
      return entry?.slice(name.length + 1) ?? "";
    },
  };
}
