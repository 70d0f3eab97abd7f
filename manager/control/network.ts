import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { CreateNetworkRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { isLocalNetworkName, localNetwork, localNetworkNames } from "#proto/main-network.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { needsIngress } from "../ingress.ts";
import type { Action } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isLost, isTerminal, isWanted } from "../task.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve, slotName } from "../store/resolve.ts";
import { Turns } from "../turns.ts";
import { validateNetworkSpec } from "../spec/validate-network.ts";

/** How many users of a network a refusal names. */
const usersMax = 5;

type Methods = "createNetwork" | "getNetwork" | "listNetworks" | "removeNetwork";

interface Modules extends Pick<ControlModules, "store" | "random"> {
  /** Of those that are made: their subnets must not overlap. */
  readonly turns: Turns;
}

export function networkHandlers(given: Omit<Modules, "turns">): Pick<ControlHandlers, Methods> {
  const modules = { ...given, turns: new Turns() };
  const { store } = modules;
  return {
    createNetwork: async (request) => ({ network: await createNetwork(modules, request) }),
    getNetwork: async ({ ref }) => ({
      network: isLocalNetworkName(ref) ? localNetwork(ref) : resolve(store, "network", ref),
    }),
    listNetworks: async ({ labels }) => ({
      networks: [...store.list("network"), ...localNetworkNames.map(localNetwork)].filter(
        (network) => hasLabels(network.spec?.annotations, labels),
      ),
    }),
    removeNetwork: async ({ ref }) => ({ networkId: await removeNetwork(store, ref) }),
  };
}

async function createNetwork(
  { store, random, turns }: Modules,
  request: CreateNetworkRequest,
): Promise<Network> {
  const id = newId(random);
  const build = (view: View): readonly Action[] => {
    const spec = validateNetworkSpec(request.spec, view);
    const name = spec.annotations?.name ?? "";
    if (view.byName("network", name) !== undefined) {
      throw new Fault("already-exists", `a network named "${name}" exists already`);
    }
    return [{ action: "create", kind: "network", object: create(NetworkSchema, { id, spec }) }];
  };
  await turns.take(() => store.write(build));
  const network = store.get("network", id);
  if (network === undefined) throw new Fault("not-found", `network ${id} was removed meanwhile`);
  return network;
}

async function removeNetwork(store: Store, ref: string): Promise<string> {
  if (isLocalNetworkName(ref)) {
    const message = `Cannot remove network "${ref}": every host has it of its own`;
    throw new Fault("failed-precondition", message);
  }
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "network", ref);
    id = object.id;
    refuseUsed(object, view);
    return [{ action: "remove", kind: "network", object }];
  });
  return id;
}

/** By name, or as one that publishes ports and is on no overlay is on the ingress network. */
function isOn({ spec }: Service, network: Network): boolean {
  const networks = spec?.task?.networks ?? [];
  if (network.spec?.ingress) return needsIngress(spec?.endpoint, networks);
  const name = network.spec?.annotations?.name;
  return networks.some(({ target }) => target === network.id || target === name);
}

function refuseUsed(network: Network, view: View): void {
  const name = network.spec?.annotations?.name ?? network.id;
  const services = view
    .list("service")
    .filter((service) => isOn(service, network))
    .map(({ spec }) => `service "${spec?.annotations?.name}"`);
  const nodeOf = (id: string) => view.get("node", id);
  // Tasks outlive their service for as long as they take to stop, which those of a lost node never say.
  const tasks = view
    .list("task")
    .filter((task) => task.networks.some((one) => one.network?.id === network.id))
    .filter((task) => isWanted(task) || !(isTerminal(task) || isLost(task, nodeOf)))
    .map((task) => `task "${slotName(task)}"`);
  const users = services.length > 0 ? services : tasks;
  if (users.length === 0) return;
  const rest = users.length > usersMax ? ` and ${users.length - usersMax} more` : "";
  const message = `Cannot remove network "${name}": it is used by ${users.slice(0, usersMax).join(", ")}${rest}`;
  throw new Fault("failed-precondition", message);
}
