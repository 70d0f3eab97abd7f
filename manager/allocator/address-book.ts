/**
 * The address pools of all networks with their holders, folded from commits. A task holds its addresses until it is
 * deleted, or has ended and is not wanted any more.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAlive } from "../task.ts";
import { AddressPool } from "./ipam.ts";
import { parseInterface } from "#proto/ipv4.ts";

export class AddressBook {
  readonly #pools = new Map<string, AddressPool>();

  constructor(view: View) {
    for (const network of view.list("network")) this.#onNetwork(undefined, network);
    for (const task of view.list("task")) this.#onTask(undefined, task);
  }

  /** Undefined while the network has no subnet. */
  pool(networkId: string): AddressPool | undefined {
    return this.#pools.get(networkId);
  }

  pools(): Iterable<readonly [networkId: string, pool: AddressPool]> {
    return this.#pools;
  }

  /** Says whether addresses or subnets came free. */
  onChange(change: Change): boolean {
    if (change.kind === "network") return this.#onNetwork(change.before, change.after);
    if (change.kind === "task") return this.#onTask(change.before, change.after);
    return false;
  }

  #onNetwork(before: Network | undefined, after: Network | undefined): boolean {
    if (after === undefined) return before !== undefined && this.#pools.delete(before.id);
    const [config] = after.ipam?.configs ?? [];
    // A network's subnet never changes once it has one.
    if (config !== undefined && !this.#pools.has(after.id)) {
      this.#pools.set(after.id, new AddressPool(config));
    }
    return false;
  }

  #onTask(before: Task | undefined, after: Task | undefined): boolean {
    const held = before !== undefined && holds(before);
    const holdsNow = after !== undefined && holds(after);
    if (held === holdsNow) return false;
    const task = holdsNow ? after : before;
    for (const [pool, address] of this.#addressesOf(task)) {
      if (holdsNow) pool.hold(address, task?.id ?? "");
      else pool.release(address, task?.id ?? "");
    }
    return held;
  }

  *#addressesOf(task: Task | undefined): Iterable<readonly [AddressPool, number]> {
    for (const { network, addresses } of task?.networks ?? []) {
      const pool = this.#pools.get(network?.id ?? "");
      if (pool === undefined) continue;
      for (const address of addresses) yield [pool, parseInterface(address).address];
    }
  }
}

function holds(task: Task): boolean {
  return task.networks.length > 0 && isAlive(task);
}
