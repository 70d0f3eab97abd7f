/** The calls for secrets and those for configs under one set of names: a stack treats both alike. */
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Client } from "#proto/grpc.ts";

export type FileNoun = "secret" | "config";
export type FileObject = Secret | Config;

/** What a file of the stack shall be. */
export interface FileWish {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
  readonly templateDriver?: string | undefined;
}

export interface FileApi {
  list(labels?: Readonly<Record<string, string>>): Promise<readonly FileObject[]>;
  create(wish: FileWish): Promise<unknown>;
  /** Gives its name to a new version with this data. Its services are updated, but for those that the caller updates. */
  rotate(present: FileObject, wish: Rotation): Promise<FileObject | undefined>;
  relabel(present: FileObject, labels: FileWish["labels"]): Promise<unknown>;
  remove(ref: string): Promise<unknown>;
  /** Whether it holds this already. Nothing changes. */
  holds(present: FileObject, data: Uint8Array): Promise<boolean>;
}

export interface Rotation {
  readonly data: Uint8Array;
  readonly keptServiceIds: readonly string[];
}

interface CallOptions {
  readonly signal?: AbortSignal;
}

export function fileApi(
  control: Client<typeof ControlService>,
  noun: FileNoun,
  options: CallOptions,
): FileApi {
  return noun === "secret" ? secretApi(control, options) : configApi(control, options);
}

function secretApi(control: Client<typeof ControlService>, options: CallOptions): FileApi {
  const update = (present: FileObject, change: Partial<SpecChange>) =>
    control.updateSecret({ ...refOf(present), spec: { ...keptOf(present), ...change } }, options);
  return {
    list: async (labels = {}) => (await control.listSecrets({ labels }, options)).secrets,
    create: (wish) => control.createSecret({ spec: specOf(wish) }, options),
    rotate: async ({ id }, { data, keptServiceIds }) => {
      const request = { ref: id, data, keptServiceIds: [...keptServiceIds] };
      return (await control.rotateSecret(request, options)).secret;
    },
    relabel: (present, labels) =>
      update(present, { annotations: { name: fileName(present), labels } }),
    remove: (ref) => control.removeSecret({ ref }, options),
    // Managers answer no secret's data, but refuse other data than there is.
    holds: async (present, data) => {
      try {
        await update(present, { data });
        return true;
      } catch (thrown) {
        if (Fault.from(thrown).code === "invalid-argument") return false;
        throw thrown;
      }
    },
  };
}

function configApi(control: Client<typeof ControlService>, options: CallOptions): FileApi {
  return {
    list: async (labels = {}) => (await control.listConfigs({ labels }, options)).configs,
    create: (wish) => control.createConfig({ spec: specOf(wish) }, options),
    rotate: async ({ id }, { data, keptServiceIds }) => {
      const request = { ref: id, data, keptServiceIds: [...keptServiceIds] };
      return (await control.rotateConfig(request, options)).config;
    },
    relabel: (present, labels) => {
      const spec = { ...keptOf(present), annotations: { name: fileName(present), labels } };
      return control.updateConfig({ ...refOf(present), spec }, options);
    },
    remove: (ref) => control.removeConfig({ ref }, options),
    holds: async ({ id }, data) => {
      const { config } = await control.getConfig({ ref: id }, options);
      return Buffer.from(config?.spec?.data ?? []).equals(data);
    },
  };
}

interface SpecChange {
  readonly annotations: { readonly name: string; readonly labels: FileWish["labels"] };
  readonly data: Uint8Array;
}

function specOf({ name, labels, data, templateDriver }: FileWish) {
  return {
    annotations: { name, labels },
    data,
    ...(templateDriver !== undefined && { templating: { name: templateDriver } }),
  };
}

/** Everything but the data, which an update may leave out. */
function keptOf({ spec }: FileObject) {
  const { annotations, templating } = spec ?? {};
  return { ...(annotations && { annotations }), ...(templating && { templating }) };
}

function refOf({ id, meta }: FileObject) {
  return { ref: id, ...(meta?.version !== undefined && { version: meta.version }) };
}

export function fileName({ spec }: FileObject): string {
  return spec?.annotations?.name ?? "";
}
