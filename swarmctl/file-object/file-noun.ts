/** Secrets and configs are commanded alike; this is what tells them apart. No answer holds a secret's data. */
import {
  type Config,
  ConfigSchema,
  type Secret,
  SecretSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Version } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ControlClient } from "../context.ts";

export type FileObject = Secret | Config;

interface FileSpec {
  readonly annotations: { readonly name: string; readonly labels: Record<string, string> };
  readonly data?: Uint8Array;
  readonly templating?: { readonly name: string };
  /** Of a secret: who holds it in place of the managers. */
  readonly driver?: { readonly name: string };
}

interface Rotated {
  readonly object: FileObject | undefined;
  readonly serviceIds: readonly string[];
  readonly unchanged: boolean;
}

export interface FileNoun {
  readonly name: "secret" | "config";
  readonly schema: typeof SecretSchema | typeof ConfigSchema;
  create(control: ControlClient, spec: FileSpec): Promise<FileObject | undefined>;
  get(control: ControlClient, ref: string): Promise<FileObject | undefined>;
  list(control: ControlClient): Promise<readonly FileObject[]>;
  /** Of its labels. */
  update(control: ControlClient, object: FileObject, labels: Record<string, string>): Promise<void>;
  remove(control: ControlClient, ref: string): Promise<unknown>;
  rotate(control: ControlClient, ref: string, data: Uint8Array): Promise<Rotated>;
}

export const secretNoun: FileNoun = {
  name: "secret",
  schema: SecretSchema,
  create: async (control, spec) => (await control.createSecret({ spec })).secret,
  get: async (control, ref) => (await control.getSecret({ ref })).secret,
  list: async (control) => (await control.listSecrets({})).secrets,
  update: async (control, object, labels) => {
    await control.updateSecret({ ref: object.id, ...relabelled(object, labels) });
  },
  remove: (control, ref) => control.removeSecret({ ref }),
  rotate: async (control, ref, data) => {
    const { secret, serviceIds, unchanged } = await control.rotateSecret({ ref, data });
    return { object: secret, serviceIds, unchanged };
  },
};

export const configNoun: FileNoun = {
  name: "config",
  schema: ConfigSchema,
  create: async (control, spec) => (await control.createConfig({ spec })).config,
  get: async (control, ref) => (await control.getConfig({ ref })).config,
  list: async (control) => (await control.listConfigs({})).configs,
  update: async (control, object, labels) => {
    await control.updateConfig({ ref: object.id, ...relabelled(object, labels) });
  },
  remove: (control, ref) => control.removeConfig({ ref }),
  rotate: async (control, ref, data) => {
    const { config, serviceIds, unchanged } = await control.rotateConfig({ ref, data });
    return { object: config, serviceIds, unchanged };
  },
};

export function nameOf({ id, spec }: FileObject): string {
  return spec?.annotations?.name ?? id;
}

export function labelsOf({ spec }: FileObject): Readonly<Record<string, string>> {
  return spec?.annotations?.labels ?? {};
}

/** Without data: they stay what they are. */
function relabelled(object: FileObject, labels: Record<string, string>) {
  const { meta, spec } = object;
  const version: Version | undefined = meta?.version;
  const templating = spec?.templating;
  return {
    ...(version !== undefined && { version }),
    spec: { annotations: { name: nameOf(object), labels }, ...(templating && { templating }) },
  };
}
