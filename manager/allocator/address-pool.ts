/**
 * The addresses of one network and family, and who holds them. Pure bookkeeping; knows nothing of stores.
 *
 * Invariants: no address that somebody holds, or that a service keeps for one of its tasks, is given out, nor one that is
 * outside the range, the gateway's, reserved, or the subnet's first or last. Addresses are handed out round robin, so
 * that one just freed is the last to be used again: other hosts may still have it in their caches.
 */
import { Fault } from "#proto/fault.ts";
import type { IpamConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  contains,
  formatAddress,
  lastAddress,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./subnet.ts";

export class AddressPool {
  readonly config: IpamConfig;
  readonly subnet: Subnet;
  /** How many addresses can be had without asking for one. */
  readonly capacity: bigint;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #excluded: ReadonlySet<bigint>;
  /** Several of one address are only those whose task's node was lost, and its successor. */
  readonly #holders = new Map<bigint, ReadonlySet<string>>();
  #used = 0n;
  #cursor: bigint;

  constructor(config: IpamConfig) {
    this.config = config;
    this.subnet = parseSubnet(config.subnet);
    const range = config.range === "" ? this.subnet : parseSubnet(config.range);
    const inside = (value: bigint) => contains(this.subnet, { family: range.family, value });
    if (!inside(range.base) || !inside(lastAddress(range))) {
      throw new Fault(
        "invalid-argument",
        `range ${config.range} is not inside subnet ${config.subnet}`,
      );
    }
    const [first, last] = [this.subnet.base + 1n, lastAddress(this.subnet) - 1n];
    this.#first = range.base > first ? range.base : first;
    this.#last = lastAddress(range) < last ? lastAddress(range) : last;
    this.#excluded = this.#exclude(config);
    const inRange = [...this.#excluded].filter((address) => this.#isInRange(address));
    this.capacity = this.#last - this.#first + 1n - BigInt(inRange.length);
    this.#cursor = this.#last;
    if (this.capacity < 1n) {
      const where = config.range === "" ? `subnet ${config.subnet}` : `range ${config.range}`;
      throw new Fault("invalid-argument", `${where} has no address for tasks`);
    }
  }

  /** Of the capacity. */
  get used(): bigint {
    return this.#used;
  }

  /** Where the search for the next address begins: after the one given out last. */
  get cursor(): bigint {
    return this.#cursor;
  }

  isInRange(address: bigint): boolean {
    return this.#isInRange(address) && !this.#excluded.has(address);
  }

  /** Whether a task may have it, be it outside the range. */
  isForTasks(address: bigint): boolean {
    return this.#isHost(address) && !this.#excluded.has(address);
  }

  holdersOf(address: bigint): ReadonlySet<string> {
    return this.#holders.get(address) ?? new Set();
  }

  /** Takes note of an address that a committed object has. */
  hold(address: bigint, holder: string): void {
    if (!this.isForTasks(address)) return;
    const before = this.#holders.get(address);
    this.#holders.set(address, new Set(before).add(holder));
    if (!this.isInRange(address)) return;
    if (before === undefined) this.#used += 1n;
    this.#cursor = address;
  }

  release(address: bigint, holder: string): void {
    const left = new Set(this.#holders.get(address));
    if (!left.delete(holder)) return;
    if (left.size > 0) this.#holders.set(address, left);
    else {
      this.#holders.delete(address);
      if (this.isInRange(address)) this.#used -= 1n;
    }
  }

  /** The next address after `cursor` that neither a holder nor `chosen` has, wrapping around; undefined: all in use. */
  nextFree(cursor: bigint, chosen: ReadonlySet<bigint>): bigint | undefined {
    if (this.#used >= this.capacity) return undefined;
    const count = this.#last - this.#first + 1n;
    for (let step = 1n; step <= count; step++) {
      const address = this.#first + ((cursor - this.#first + step) % count);
      if (this.#excluded.has(address) || this.#holders.has(address)) continue;
      if (!chosen.has(address)) return address;
    }
    return undefined;
  }

  #isInRange(address: bigint): boolean {
    return this.#first <= address && address <= this.#last;
  }

  #isHost(address: bigint): boolean {
    return this.subnet.base < address && address < lastAddress(this.subnet);
  }

  #exclude(config: IpamConfig): ReadonlySet<bigint> {
    const addresses = [config.gateway, ...Object.values(config.reserved)].map(parseAddress);
    for (const address of addresses) {
      if (address.family === this.subnet.family && this.#isHost(address.value)) continue;
      const text = formatAddress(address);
      const problem = `${text} is not an address for hosts of subnet ${config.subnet}`;
      throw new Fault("invalid-argument", problem);
    }
    return new Set(addresses.map(({ value }) => value));
  }
}

/** Addresses that a plan has chosen and nobody has committed yet. Dropped with the plan. */
export class PoolDraft {
  readonly pool: AddressPool;
  readonly #chosen = new Set<bigint>();
  /** How many of the chosen ones count as used beside those of the pool. */
  #fresh = 0n;
  #cursor: bigint;

  constructor(pool: AddressPool) {
    this.pool = pool;
    this.#cursor = pool.cursor;
  }

  take(): bigint | undefined {
    if (this.#used >= this.pool.capacity) return undefined;
    const address = this.pool.nextFree(this.#cursor, this.#chosen);
    if (address === undefined) return undefined;
    this.takeGiven(address);
    this.#cursor = address;
    return address;
  }

  /** This very address, if no other task of the plan has it: whether its holders mind is the caller's to know. */
  takeGiven(address: bigint): boolean {
    if (this.#chosen.has(address)) return false;
    this.#chosen.add(address);
    if (this.#isFresh(address)) this.#fresh += 1n;
    return true;
  }

  giveBack(address: bigint): void {
    if (this.#chosen.delete(address) && this.#isFresh(address)) this.#fresh -= 1n;
  }

  /** "5 of 5 in 10.7.0.0/29 are in use". */
  get usage(): string {
    const { config, capacity } = this.pool;
    return `${this.#used} of ${capacity} in ${config.range || config.subnet} are in use`;
  }

  get #used(): bigint {
    return this.pool.used + this.#fresh;
  }

  #isFresh(address: bigint): boolean {
    return this.pool.isInRange(address) && this.pool.holdersOf(address).size === 0;
  }
}
