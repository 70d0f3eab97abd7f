/**
 * Addresses and ports for tasks. Pure: the view and the books in, changed objects out. A task leaves with all its addresses
 * or with none and the reason.
 */
import { create } from "@bufbuild/protobuf";
import { isLocalNetworkName, localNetwork } from "#proto/main-network.ts";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type Endpoint,
  EndpointSchema,
  type Network,
  type NetworkAttachment,
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
  NetworkAttachmentSchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isLost, isWanted, managerStatus } from "../task.ts";
import { ingressNetwork, needsIngress, noIngressNetwork } from "../ingress.ts";
import { findNetwork } from "./address-book.ts";
import type { PoolDraft } from "./address-pool.ts";
import {
  type AllocateContext,
  holderWords,
  networkName,
  noSubnetWords,
  PoolDrafts,
} from "./drafts.ts";
import { familyOf, formatAddress, isAnyAddress, parseAddress } from "./subnet.ts";

export interface TasksPlan {
  readonly actions: readonly Action[];
  /** IDs of the tasks that got nothing. */
  readonly blocked: ReadonlySet<string>;
}

export interface TasksContext extends AllocateContext {
  /** What a service lacks: its tasks wait for it. */
  readonly blockedServices: ReadonlyMap<string, string>;
}

export function planTasks(tasks: readonly Task[], context: TasksContext): TasksPlan {
  const drafts = new PoolDrafts();
  const actions: Action[] = [];
  const blocked = new Set<string>();
  // What one task cannot have now, none of its likes can: thousands may wait for what came free.
  const refusals = new Map<string, string>();
  for (const task of tasks) {
    const service = context.view.get("service", task.serviceId);
    const likes = likesOf(task);
    const attachments =
      context.blockedServices.get(task.serviceId) ??
      refusals.get(likes) ??
      attach(task, { ...context, service, drafts });
    if (typeof attachments === "string") {
      refusals.set(likes, attachments);
      blocked.add(task.id);
      const note = planNote(task, attachments, context.nowMs);
      if (note !== undefined) actions.push(note);
    } else {
      const message = "pending task scheduling";
      const status = managerStatus({ state: TaskState.PENDING, message, nowMs: context.nowMs });
      const object = { ...task, networks: [...attachments], ...endpointOf(service), status };
      actions.push({ action: "update", kind: "task", object });
    }
  }
  return { actions, blocked };
}

/** Equal for tasks that ask for the same: those of one service and spec, but each slot has given addresses of its own. */
function likesOf({ id, serviceId, specVersion, spec }: Task): string {
  const given = spec?.networks.some(({ addresses }) => addresses.length > 0) ?? false;
  return given || serviceId === "" ? id : `${serviceId} ${specVersion?.index ?? 0n}`;
}

/** What the task itself needs of its service's endpoint: the ports, of which its node maps those of mode host. */
function endpointOf(service: Service | undefined): { endpoint?: Endpoint } {
  const endpoint = service?.endpoint;
  if (endpoint === undefined) return {};
  const { spec, ports } = endpoint;
  return { endpoint: create(EndpointSchema, { ...(spec && { spec }), ports }) };
}

interface AttachContext extends AllocateContext {
  readonly service: Service | undefined;
  readonly drafts: PoolDrafts;
}

/** An address that a task of the plan has for now. */
interface Chosen {
  readonly draft: PoolDraft;
  readonly value: bigint;
}

/** The task's attachments, or why it cannot have them now. */
function attach(task: Task, context: AttachContext): readonly NetworkAttachment[] | string {
  const wanted = wantedNetworks(task, context);
  if (typeof wanted === "string") return wanted;
  const attachments: NetworkAttachment[] = [];
  const chosen: Chosen[] = [];
  for (const config of wanted) {
    const outcome = attachOne(task, config, { ...context, chosen });
    if (typeof outcome === "string") {
      for (const { draft, value } of chosen) draft.giveBack(value);
      return outcome;
    }
    attachments.push(outcome);
  }
  return attachments;
}

function wantedNetworks(
  { spec }: Task,
  { service, view }: AttachContext,
): readonly NetworkAttachmentConfig[] | string {
  const own = spec?.networks ?? [];
  const wanted = own.length > 0 ? own : [configOf("bridge")];
  if (!needsIngress(service?.spec?.endpoint, own)) return wanted;
  const ingress = ingressNetwork(view);
  return ingress === undefined ? noIngressNetwork : [...wanted, configOf(ingress.id)];
}

function configOf(target: string): NetworkAttachmentConfig {
  return create(NetworkAttachmentConfigSchema, { target });
}

interface OneContext extends AttachContext {
  /** Filled with what the attachment takes. */
  readonly chosen: Chosen[];
}

function attachOne(
  task: Task,
  config: NetworkAttachmentConfig,
  context: OneContext,
): NetworkAttachment | string {
  const { target } = config;
  if (isLocalNetworkName(target)) return attachment(localNetwork(target), config, []);
  const { view, addresses: book } = context;
  const network = findNetwork(view, target);
  if (network === undefined) return `network "${target}" does not exist`;
  const pools = book.poolsOf(network.id);
  if (pools.length === 0) return noSubnetWords(context, network.id);
  const addresses: string[] = [];
  for (const pool of pools) {
    const given = config.addresses.filter((one) => familyOf(one) === pool.subnet.family);
    const draft = context.drafts.of(pool);
    const place: Place = { task, network, draft };
    const value = given.length === 0 ? takeNext(place, context) : takeGiven(place, given, context);
    if (typeof value === "string") return value;
    context.chosen.push({ draft, value });
    const { family, prefix } = pool.subnet;
    addresses.push(`${formatAddress({ family, value })}/${prefix}`);
  }
  return attachment(network, config, addresses);
}

interface Place {
  readonly task: Task;
  readonly network: Network;
  readonly draft: PoolDraft;
}

function takeNext({ network, draft }: Place, { view }: AllocateContext): bigint | string {
  const name = networkName(view, network.id);
  return draft.take() ?? `network "${name}" has no free address: ${draft.usage}`;
}

/**
 * Slot N has the N-th. One whose address another slot has, or that is beyond the list, as of a service that was scaled
 * before it had one, gets the first that is free. A task on a lost node, which nobody reaches, does not keep its successor
 * from its address.
 */
function takeGiven(
  { task, network, draft }: Place,
  given: readonly string[],
  { view }: AllocateContext,
): bigint | string {
  const own = given[Number(task.slot) - 1];
  const name = networkName(view, network.id);
  let inUse = "";
  for (const address of own === undefined ? given : [own, ...given]) {
    // A newer manager may have let in what this one cannot read.
    if (!isAnyAddress(address)) return `"${address}" is not an IP address`;
    const { value } = parseAddress(address);
    if (!draft.pool.isForTasks(value)) {
      return `address ${address} is not one for tasks of network "${name}"`;
    }
    const holder = obstacleOf(draft.pool.holdersOf(value), task, view);
    if (holder === undefined && draft.takeGiven(value)) return value;
    if (inUse !== "") continue;
    const whose = holder === undefined ? "another task" : holderWords(view, holder);
    inUse = `address ${address} of network "${name}" is in use by ${whose}`;
    // Its predecessor gives it up soon: the other addresses are those of other slots.
    if (own !== undefined && holder !== undefined && !isOtherSlots(holder, task, view)) break;
  }
  return inUse;
}

/** Whether the address is another slot's of the same service for as long as that is wanted. */
function isOtherSlots(holder: string, { serviceId, slot }: Task, view: View): boolean {
  const [kind, id = ""] = holder.split(":", 2);
  const other = kind === "task" ? view.get("task", id) : undefined;
  if (other === undefined || other.serviceId !== serviceId) return false;
  return other.slot !== slot && isWanted(other);
}

/** Who keeps the task from an address. */
function obstacleOf(holders: ReadonlySet<string>, task: Task, view: View): string | undefined {
  return holders.values().find((holder) => {
    if (holder === `kept:${task.serviceId}`) return false;
    const [kind, id = ""] = holder.split(":", 2);
    const other = kind === "task" ? view.get("task", id) : undefined;
    return other === undefined || !isLost(other, (node) => view.get("node", node));
  });
}

function attachment(
  network: Network,
  { aliases, driverAttachmentOpts }: NetworkAttachmentConfig,
  addresses: string[],
): NetworkAttachment {
  const made = create(NetworkAttachmentSchema, { addresses, aliases, driverAttachmentOpts });
  made.network = network;
  return made;
}

/** Tells the user why the task waits; once, not with every try. */
function planNote(task: Task, err: string, nowMs: number): Action | undefined {
  if (task.status?.err === err) return undefined;
  const message = "waiting for network addresses";
  const status = managerStatus({ state: TaskState.NEW, message, err, nowMs });
  return { action: "update", kind: "task", object: { ...task, status } };
}
