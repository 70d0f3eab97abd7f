import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  CreateConfigRequest,
  RotateConfigRequest,
  UpdateConfigRequest,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { type Config, ConfigSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ConfigSpec, ConfigSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { newId } from "#proto/ids.ts";
import { validateConfigSpec } from "../spec/validate-file.ts";
import { resolve } from "../store/resolve.ts";
import type { Store } from "../store/store.ts";
import { changedLabels, refuseUsed, withoutData } from "./file-object.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { rotate } from "./rotate-file.ts";
import { refuseStale } from "./version.ts";

type Methods =
  | "createConfig"
  | "getConfig"
  | "listConfigs"
  | "updateConfig"
  | "removeConfig"
  | "rotateConfig";

export function configHandlers(
  modules: Pick<ControlModules, "store" | "random">,
): Pick<ControlHandlers, Methods> {
  const { store } = modules;
  return {
    createConfig: async (request) => ({
      config: withoutData(await createConfig(modules, request)),
    }),
    getConfig: async ({ ref }) => ({ config: resolve(store, "config", ref) }),
    listConfigs: async ({ labels }) => ({
      configs: store.list("config").filter(({ spec }) => hasLabels(spec?.annotations, labels)),
    }),
    updateConfig: async (request) => ({ config: await updateConfig(store, request) }),
    removeConfig: async ({ ref }) => ({ configId: await removeConfig(store, ref) }),
    rotateConfig: (request) => rotateConfig(modules, request),
  };
}

async function createConfig(
  { store, random }: Pick<ControlModules, "store" | "random">,
  request: CreateConfigRequest,
): Promise<Config> {
  const spec = validateConfigSpec(request.spec);
  const id = newId(random);
  const name = spec.annotations?.name ?? "";
  await store.write((view) => {
    if (view.byName("config", name) !== undefined) {
      throw new Fault("already-exists", `a config named "${name}" exists already`);
    }
    return [{ action: "create", kind: "config", object: create(ConfigSchema, { id, spec }) }];
  });
  return committed(store, id);
}

/** For an answer to who has just sent the data. */

async function updateConfig(store: Store, request: UpdateConfigRequest): Promise<Config> {
  let id = "";
  await store.write((view) => {
    const config = resolve(view, "config", request.ref);
    id = config.id;
    refuseStale(`config "${config.spec?.annotations?.name}"`, config, request.version);
    const annotations = changedLabels("config", config, request.spec);
    const before: ConfigSpec = config.spec ?? create(ConfigSpecSchema);
    const spec = { ...before, annotations };
    if (equals(ConfigSpecSchema, spec, before)) return [];
    return [{ action: "update", kind: "config", object: { ...config, spec } }];
  });
  return committed(store, id);
}

async function removeConfig(store: Store, ref: string): Promise<string> {
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "config", ref);
    id = object.id;
    refuseUsed("config", object, view);
    return [{ action: "remove", kind: "config", object }];
  });
  return id;
}

async function rotateConfig(
  modules: Pick<ControlModules, "store" | "random">,
  { ref, data, keptServiceIds }: RotateConfigRequest,
) {
  const { id, serviceIds, unchanged } = await rotate(modules, {
    noun: "config",
    ref,
    data,
    keptServiceIds,
  });
  return { config: withoutData(committed(modules.store, id)), serviceIds, unchanged };
}

function committed(store: Store, id: string): Config {
  const config = store.get("config", id);
  if (config === undefined) throw new Fault("not-found", `config ${id} was removed meanwhile`);
  return config;
}
