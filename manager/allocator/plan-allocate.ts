/**
 * Subnets for networks, addresses for tasks. Pure: the view and the address book in, changed objects out. A task leaves
 * with all its addresses or with none and the reason.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  DriverSchema,
  IpamOptionsSchema,
  type Network,
  type NetworkAttachment,
  type NetworkAttachmentConfig,
  NetworkAttachmentSchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { addressPools, clusterOf } from "../cluster.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { managerStatus } from "../task.ts";
import type { AddressBook } from "./address-book.ts";
import { planIpam, PoolDraft } from "./ipam.ts";
import { formatAddress, parseSubnet } from "#proto/ipv4.ts";

export interface AllocateContext {
  readonly view: View;
  readonly book: AddressBook;
  readonly nowMs: number;
}

export interface AllocatePlan {
  readonly actions: readonly Action[];
  /** IDs of the networks and tasks that got nothing, each with why. */
  readonly blocked: ReadonlyMap<string, string>;
}

export function planNetworks(
  networks: readonly Network[],
  { view, book }: AllocateContext,
): AllocatePlan {
  const pools = addressPools(clusterOf(view));
  const taken = Array.from(book.pools(), ([id, { subnet }]) => ({
    ...subnet,
    network: nameOf(view.get("network", id), id),
  }));
  const actions: Action[] = [];
  const blocked = new Map<string, string>();
  for (const network of networks) {
    if (network.spec === undefined) continue;
    try {
      const config = planIpam(network.spec, { pools, taken });
      const object = withIpam(network, config);
      taken.push({ ...parseSubnet(config.subnet), network: nameOf(network, network.id) });
      actions.push({ action: "update", kind: "network", object });
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      blocked.set(network.id, thrown.message);
    }
  }
  return { actions, blocked };
}

export function planTasks(tasks: readonly Task[], context: AllocateContext): AllocatePlan {
  const drafts = new Map<string, PoolDraft>();
  const actions: Action[] = [];
  const blocked = new Map<string, string>();
  for (const task of tasks) {
    const attachments = attach(task, drafts, context);
    if (typeof attachments === "string") {
      blocked.set(task.id, attachments);
      const note = planNote(task, attachments, context.nowMs);
      if (note !== undefined) actions.push(note);
    } else {
      const message = "pending task scheduling";
      const status = managerStatus({ state: TaskState.PENDING, message, nowMs: context.nowMs });
      const object = { ...task, networks: [...attachments], status };
      actions.push({ action: "update", kind: "task", object });
    }
  }
  return { actions, blocked };
}

/** The task's attachments, or why it cannot have them now. */
function attach(
  task: Task,
  drafts: Map<string, PoolDraft>,
  context: AllocateContext,
): readonly NetworkAttachment[] | string {
  const attachments: NetworkAttachment[] = [];
  const chosen: (() => void)[] = [];
  for (const config of task.spec?.networks ?? []) {
    const outcome = attachOne(config, drafts, context);
    if (typeof outcome === "string") {
      for (const giveBack of chosen) giveBack();
      return outcome;
    }
    attachments.push(outcome.attachment);
    chosen.push(outcome.giveBack);
  }
  return attachments;
}

function attachOne(
  config: NetworkAttachmentConfig,
  drafts: Map<string, PoolDraft>,
  { view, book }: AllocateContext,
): { attachment: NetworkAttachment; giveBack: () => void } | string {
  const network = findNetwork(view, config.target);
  if (network === undefined) return `network "${config.target}" does not exist`;
  const name = nameOf(network, network.id);
  const draft = draftOf(network.id, drafts, book);
  if (draft === undefined) return `network "${name}" has no subnet yet`;
  const address = draft.take();
  const { subnet, capacity } = draft.pool;
  if (address === undefined) {
    const { config: ipam } = draft.pool;
    return `network "${name}" has no free address: ${draft.used} of ${capacity} in ${ipam.range || ipam.subnet} are in use`;
  }
  const attachment = create(NetworkAttachmentSchema, {
    addresses: [`${formatAddress(address)}/${subnet.prefix}`],
    aliases: config.aliases,
    driverAttachmentOpts: config.driverAttachmentOpts,
  });
  attachment.network = network;
  return { attachment, giveBack: () => draft.giveBack(address) };
}

function draftOf(
  networkId: string,
  drafts: Map<string, PoolDraft>,
  book: AddressBook,
): PoolDraft | undefined {
  const known = drafts.get(networkId);
  const pool = book.pool(networkId);
  if (known !== undefined || pool === undefined) return known;
  const draft = new PoolDraft(pool);
  drafts.set(networkId, draft);
  return draft;
}

function nameOf(network: Network | undefined, id: string): string {
  return network?.spec?.annotations?.name ?? id;
}

/** Users name networks; stacks and the API may use IDs. */
function findNetwork(view: View, target: string): Network | undefined {
  return view.get("network", target) ?? view.byName("network", target);
}

function withIpam(network: Network, config: ReturnType<typeof planIpam>): Network {
  const driver = network.spec?.driverConfig;
  return {
    ...network,
    ipam: create(IpamOptionsSchema, {
      driver: create(DriverSchema, { name: network.spec?.ipam?.driver?.name || "default" }),
      configs: [config],
    }),
    driverState: create(DriverSchema, {
      name: driver?.name || "overlay",
      options: driver?.options ?? {},
    }),
  };
}

/** Tells the user why the task waits; once, not with every try. */
function planNote(task: Task, err: string, nowMs: number): Action | undefined {
  if (task.status?.err === err) return undefined;
  const message = "waiting for network addresses";
  const status = managerStatus({ state: TaskState.NEW, message, err, nowMs });
  return { action: "update", kind: "task", object: { ...task, status } };
}
