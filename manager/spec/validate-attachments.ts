/** Which networks a service's tasks are on, and with which addresses. Pure; the store is read for networks and addresses. */
import { Fault } from "#proto/fault.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  IpFamily,
  type Network,
  type NetworkAttachmentConfig,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isLocalNetworkName } from "#proto/main-network.ts";
import { AddressBook } from "../allocator/address-book.ts";
import type { AddressPool } from "../allocator/address-pool.ts";
import { wishedPool } from "../allocator/ipam.ts";
import { holderWords } from "../allocator/drafts.ts";
import { familyOf, formatAddress, parseAddress } from "../allocator/subnet.ts";
import { mostReplicas } from "../service-spec.ts";
import { find } from "../store/resolve.ts";
import type { View } from "../store/store.ts";
import { isLost, isWanted } from "../task.ts";
import { checkName, invalid, parsed } from "./field.ts";

export interface AttachmentPlace {
  /** The service's; "" while it has none. */
  readonly serviceId: string;
  readonly view: View;
}

/** The attachments, with the whole ID of a network that is named by the beginning of it. */
export function completeAttachments(
  spec: ServiceSpec,
  place: AttachmentPlace,
): NetworkAttachmentConfig[] {
  const attachments = spec.task?.networks ?? [];
  const seen = new Set<string>();
  return attachments.map((attachment, index) => {
    const { target } = attachment;
    const path = `task.networks[${index}]`;
    if (target === "") throw invalid(`${path}.target`, "is empty: name a network");
    const network = isLocalNetworkName(target) ? undefined : overlay(path, target, place.view);
    const id = network?.id ?? target;
    if (seen.has(id)) {
      throw invalid(`${path}.target`, `"${target}" is the same network as an earlier one`);
    }
    seen.add(id);
    if (network === undefined) {
      checkLocal(path, attachment, attachments.length);
      return attachment;
    }
    for (const alias of attachment.aliases) checkName(`${path}.aliases`, alias);
    if (attachment.addresses.length > 0) {
      checkAddresses(`${path}.addresses`, { spec, attachment, network }, place);
    }
    const isExact = target === network.id || target === network.spec?.annotations?.name;
    return isExact ? attachment : { ...attachment, target: network.id };
  });
}

function overlay(path: string, target: string, view: View): Network {
  const network = find(view, "network", target);
  if (network === undefined) {
    throw invalid(`${path}.target`, `"${target}" is not a network: create it first`);
  }
  if (network.spec?.ingress) {
    const problem = `"${target}" is the ingress network, which no service names: publish a port, and its tasks are on it`;
    throw invalid(`${path}.target`, problem);
  }
  return network;
}

function checkLocal(
  path: string,
  { target, aliases, addresses }: NetworkAttachmentConfig,
  count: number,
): void {
  if (target !== "bridge" && count > 1) {
    const why = target === "host" ? "the host's own network" : "no network";
    throw invalid(`${path}.target`, `"${target}" is ${why}, and stands alone: name no other`);
  }
  if (aliases.length > 0) {
    throw invalid(`${path}.aliases`, `are given, but nobody asks for names on network "${target}"`);
  }
  if (addresses.length > 0) {
    throw invalid(`${path}.addresses`, `are given, but network "${target}" is each node's own`);
  }
}

interface Given {
  readonly spec: ServiceSpec;
  readonly attachment: NetworkAttachmentConfig;
  readonly network: Network;
}

function checkAddresses(
  path: string,
  { spec, attachment, network }: Given,
  { serviceId, view }: AttachmentPlace,
): void {
  const name = network.spec?.annotations?.name ?? network.id;
  const book = new AddressBook(view, [network]);
  const seen = new Set<bigint>();
  for (const [index, text] of attachment.addresses.entries()) {
    const { value, family } = parsed(`${path}[${index}]`, () => parseAddress(text));
    const canonical = formatAddress({ family, value });
    if (canonical !== text) throw invalid(`${path}[${index}]`, `is "${text}": write ${canonical}`);
    if (seen.has(value)) throw invalid(`${path}[${index}]`, `is ${text}, as an earlier one`);
    seen.add(value);
    const pool = poolOf(book, network, { path: `${path}[${index}]`, address: text });
    checkForTasks(`${path}[${index}]`, { address: text, value, pool, name });
    const holder = pool
      .holdersOf(value)
      .values()
      .find((one) => isObstacle(one, serviceId, view));
    if (holder === undefined) continue;
    const whose = holderWords(view, holder);
    throw new Fault(
      "failed-precondition",
      `${path}[${index}]: address ${text} of network "${name}" is in use by ${whose}: choose another`,
    );
  }
  checkCount(path, spec, attachment);
}

function checkForTasks(
  path: string,
  asked: { address: string; value: bigint; pool: AddressPool; name: string },
): void {
  const { address, value, pool, name } = asked;
  if (pool.isForTasks(value)) return;
  const { subnet, gateway, reserved } = pool.config;
  const use = Object.entries(reserved).find(([, one]) => parseAddress(one).value === value)?.[0];
  if (use !== undefined) {
    throw invalid(path, `is ${address}, which network "${name}" reserves for "${use}"`);
  }
  const problem = `is ${address}: network "${name}" gives tasks addresses of ${subnet}, without its first, its last and the gateway's, ${gateway}`;
  throw invalid(path, problem);
}

function poolOf(
  book: AddressBook,
  network: Network,
  { path, address }: { readonly path: string; readonly address: string },
): AddressPool {
  const name = network.spec?.annotations?.name ?? network.id;
  const pool = book.poolOf(network.id, address);
  if (pool !== undefined) return pool;
  const isNew = book.poolsOf(network.id).length === 0;
  const family = familyOf(address);
  // A stack makes its networks and at once the services on them.
  const wished = isNew ? wishedPool(network.spec, family) : undefined;
  if (wished !== undefined) return wished;
  if (isNew && (family === IpFamily.IPV4 || network.spec?.ipv6Enabled)) {
    throw new Fault("unavailable", `network "${name}" has no subnet yet: try again`);
  }
  const word = family === IpFamily.IPV6 ? "IPv6" : "IPv4";
  throw invalid(path, `is ${address}: network "${name}" has no ${word}`);
}

/**
 * The service's own tasks hold its addresses, and hand them to their successors. Others' that leave, or are lost, soon
 * give them up: until then the service's tasks wait.
 */
function isObstacle(holder: string, serviceId: string, view: View): boolean {
  const [kind, id = ""] = holder.split(":", 2);
  if (kind !== "task") return kind !== "kept" || id !== serviceId;
  const task = view.get("task", id);
  if (task === undefined || !isWanted(task) || task.serviceId === serviceId) return false;
  // Its service was removed a moment ago.
  if (view.get("service", task.serviceId) === undefined) return false;
  return !isLost(task, (node) => view.get("node", node));
}

/** Each replica needs one of each family that is given at all. */
function checkCount(path: string, spec: ServiceSpec, { addresses }: NetworkAttachmentConfig): void {
  const replicas = mostReplicas(spec);
  for (const [family, name] of [
    [IpFamily.IPV4, "IPv4"],
    [IpFamily.IPV6, "IPv6"],
  ] as const) {
    const count = addresses.filter((address) => familyOf(address) === family).length;
    if (count === 0 || count >= replicas) continue;
    const problem = `are ${count} of ${name} for ${replicas} replicas, which have one each: give ${replicas - count} more`;
    throw invalid(path, problem);
  }
}
