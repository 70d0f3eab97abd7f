import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { CreateConfigRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Config, ConfigSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { newId } from "#proto/ids.ts";
import { validateConfigSpec } from "../spec/validate-config.ts";
import { resolve } from "../store/resolve.ts";
import type { Store, View } from "../store/store.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

type Methods = "createConfig" | "getConfig" | "listConfigs" | "removeConfig";

export function configHandlers(
  modules: Pick<ControlModules, "store" | "random">,
): Pick<ControlHandlers, Methods> {
  const { store } = modules;
  return {
    createConfig: async (request) => ({ config: await createConfig(modules, request) }),
    getConfig: async ({ ref }) => ({ config: resolve(store, "config", ref) }),
    listConfigs: async ({ labels }) => ({
      configs: store.list("config").filter(({ spec }) => hasLabels(spec?.annotations, labels)),
    }),
    removeConfig: async ({ ref }) => ({ configId: await removeConfig(store, ref) }),
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
  const config = store.get("config", id);
  if (config === undefined) throw new Fault("not-found", `config ${id} was removed meanwhile`);
  return config;
}

async function removeConfig(store: Store, ref: string): Promise<string> {
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "config", ref);
    id = object.id;
    refuseUsed(object, view);
    return [{ action: "remove", kind: "config", object }];
  });
  return id;
}

function refuseUsed(config: Config, view: View): void {
  const users = view.list("service").filter(({ spec }) => {
    const runtime = spec?.task?.runtime;
    if (runtime?.case !== "container") return false;
    return runtime.value.configs.some(({ configId }) => configId === config.id);
  });
  if (users.length === 0) return;
  const names = users.map(({ spec }) => `"${spec?.annotations?.name}"`).join(", ");
  const noun = users.length === 1 ? "service" : "services";
  const message = `Cannot remove config "${config.spec?.annotations?.name}": it is used by ${noun} ${names}`;
  throw new Fault("failed-precondition", message);
}
