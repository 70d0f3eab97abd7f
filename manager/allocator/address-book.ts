/**
 * The address pools of all networks with their holders, folded from commits. A task holds its addresses until it is
 * deleted, or has ended and is not wanted any more; a service its virtual addresses, and those that its spec keeps for
 * its tasks, while it has them.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import { addressPart } from "#proto/cidr.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAlive } from "../task.ts";
import { AddressPool } from "./address-pool.ts";
import { familyOf, isAnyAddress, parseAddress } from "./subnet.ts";

/** Who holds an address, by ID: a task, a service as a virtual one, a service for one of its tasks. */
type Holder = `${"task" | "vip" | "kept"}:${string}`;

/** An address on a network, as text. */
interface Held {
  readonly network: string;
  readonly address: string;
}

export class AddressBook {
  readonly #view: View;
  /** By network ID; IPv4 first. */
  readonly #pools = new Map<string, readonly AddressPool[]>();

  /** Of these networks; of all, if none are named. */
  constructor(view: View, networks = view.list("network")) {
    this.#view = view;
    for (const network of networks) this.#open(network);
    for (const service of view.list("service")) this.#onService(undefined, service);
    for (const task of view.list("task")) this.#onTask(undefined, task);
  }

  /** None while the network has no subnet. */
  poolsOf(networkId: string): readonly AddressPool[] {
    return this.#pools.get(networkId) ?? [];
  }

  /** The pool that an address of the network is of, with or without a prefix length. */
  poolOf(networkId: string, address: string): AddressPool | undefined {
    const family = familyOf(address);
    return this.poolsOf(networkId).find(({ subnet }) => subnet.family === family);
  }

  /** Says whether addresses or subnets came free. */
  onChange(change: Change): boolean {
    if (change.kind === "network") return this.#onNetwork(change.before, change.after);
    if (change.kind === "task") return this.#onTask(change.before, change.after);
    if (change.kind === "service") return this.#onService(change.before, change.after);
    return false;
  }

  #onNetwork(before: Network | undefined, after: Network | undefined): boolean {
    if (after === undefined) return before !== undefined && this.#pools.delete(before.id);
    if (!this.#open(after)) return false;
    // What services keep may have been said before the network had its subnets.
    for (const service of this.#view.list("service")) {
      this.#hold(`kept:${service.id}`, this.#keptOf(service));
    }
    return false;
  }

  /** Says whether the network has its subnets, and had none: they never change. */
  #open({ id, ipam }: Network): boolean {
    const configs = ipam?.configs ?? [];
    if (configs.length === 0 || this.#pools.has(id)) return false;
    this.#pools.set(
      id,
      configs.map((config) => new AddressPool(config)),
    );
    return true;
  }

  #onService(before: Service | undefined, after: Service | undefined): boolean {
    const id = (after ?? before)?.id ?? "";
    const freedVip = this.#change(`vip:${id}`, vipsOf(before), vipsOf(after));
    const freedKept = this.#change(`kept:${id}`, this.#keptOf(before), this.#keptOf(after));
    return freedVip || freedKept;
  }

  #onTask(before: Task | undefined, after: Task | undefined): boolean {
    const id = (after ?? before)?.id ?? "";
    return this.#change(`task:${id}`, addressesOf(before), addressesOf(after));
  }

  /** Says whether something came free. */
  #change(holder: Holder, before: readonly Held[], after: readonly Held[]): boolean {
    // As with nearly every change: of a task's status, of a service's spec.
    if (areSame(before, after)) return false;
    if (before.length === 0) {
      this.#hold(holder, after);
      return false;
    }
    const now = new Set(after.map(keyOf));
    const gone = before.filter((held) => !now.has(keyOf(held)));
    for (const { network, address } of gone) {
      const { value } = parseAddress(address);
      this.poolOf(network, address)?.release(value, holder);
    }
    const then = new Set(before.map(keyOf));
    this.#hold(
      holder,
      after.filter((held) => !then.has(keyOf(held))),
    );
    return gone.length > 0;
  }

  #hold(holder: Holder, addresses: readonly Held[]): void {
    for (const { network, address } of addresses) {
      this.poolOf(network, address)?.hold(parseAddress(address).value, holder);
    }
  }

  /** What a service's spec asks for by address, which nobody else shall be given. */
  #keptOf(service: Service | undefined): readonly Held[] {
    return (service?.spec?.task?.networks ?? []).flatMap(({ target, addresses }) => {
      if (addresses.length === 0) return [];
      const network = findNetwork(this.#view, target)?.id;
      const valid = addresses.filter(isAnyAddress);
      return network === undefined ? [] : valid.map((address) => ({ network, address }));
    });
  }
}

/** Users name networks; stacks and the API may use IDs. */
export function findNetwork(view: View, target: string): Network | undefined {
  return view.get("network", target) ?? view.byName("network", target);
}

function areSame(a: readonly Held[], b: readonly Held[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ network, address }, at) => b[at]?.network === network && b[at].address === address)
  );
}

function keyOf({ network, address }: Held): string {
  return `${network}/${address}`;
}

function addressesOf(task: Task | undefined): readonly Held[] {
  if (task === undefined || task.networks.length === 0 || !isAlive(task)) return [];
  return task.networks.flatMap(({ network, addresses }) =>
    addresses.map((cidr) => ({ network: network?.id ?? "", address: addressPart(cidr) })),
  );
}

function vipsOf(service: Service | undefined): readonly Held[] {
  return (service?.endpoint?.virtualIps ?? []).map(({ networkId, address }) => ({
    network: networkId,
    address: addressPart(address),
  }));
}
