/**
 * The fast path of a host: a shortcut for packets between tasks, beside the rules, which stay the only policy. See
 * fastpath.bpf.c for what it does to a packet. Optional: without it all works as well, only slower.
 *
 * The order is what keeps it right. A place is taken out before its address, link or route goes or changes (`retire`), and
 * put in when all of that stands (`enlist`): so no address is ever in the map while it belongs to nobody or to another.
 * Where a place cannot be taken out, the whole layer is (`#standDown`). Calls come from one lane, the network driver's.
 */
import { endianness, release } from "node:os";
import { fileURLToPath } from "node:url";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { plainDevice } from "../devices.ts";
import { BpfHost, clearRemains, type Filter, readDevices } from "./bpf-host.ts";
import type { PartedMap } from "../parted-map.ts";
import {
  devicesOf,
  encodePlaces,
  EncodingMemory,
  noPlaces,
  type Places,
  planEnlist,
  planRetire,
} from "./places.ts";
import { missingParts } from "./support.ts";

/** auto: where the host has what it takes. on: it must. off: never, and what stands goes away. */
export const fastPathModes = ["auto", "on", "off"] as const;

export type FastPathMode = (typeof fastPathModes)[number];

export interface FastPathOptions {
  readonly mode: FastPathMode;
  readonly objectPath?: string;
  readonly bpfRoot?: string;
}

export interface FastPathModules {
  readonly exec: Exec;
  readonly log: Log;
  /** Devices of the host → their index; for tests. */
  readonly readDevices?: typeof readDevices;
}

const objectPathDefault = fileURLToPath(import.meta.resolve("#agent/network/fastpath/fastpath.o"));
const bpfRootDefault = "/sys/fs/bpf";
const btfPath = "/sys/kernel/btf/vmlinux";

export class FastPath {
  readonly #mode: FastPathMode;
  readonly #bpfRoot: string;
  readonly #host: BpfHost;
  readonly #exec: Exec;
  readonly #log: Log;
  readonly #readDevices: typeof readDevices;
  #state: "absent" | "loaded" | "down";
  /** Why it is down: it did not come up, or had to go. It is tried again after `forget`. */
  #fault: Fault | undefined;
  /** What the map holds; undefined: to be read. */
  #values: PartedMap<string> | undefined;
  readonly #memory = new EncodingMemory();
  /** Devices that have their filter → the index they had then. */
  #filtered = new Map<string, number>();

  /** Undefined where the host does without. Adopts what stands; what it cannot use, it takes away. */
  static async open(
    options: FastPathOptions,
    modules: FastPathModules,
  ): Promise<FastPath | undefined> {
    const { mode } = options;
    const { exec, log } = modules;
    const objectPath = options.objectPath ?? objectPathDefault;
    const bpfRoot = options.bpfRoot ?? bpfRootDefault;
    try {
      if (mode === "off") return await none();
      const support = { release: release(), endianness: endianness(), btfPath, objectPath };
      const missing = await missingParts(support, exec);
      if (missing.length > 0) {
        throw new Fault("failed-precondition", `this host lacks ${missing.join(", ")}`);
      }
      const host = await BpfHost.open({ objectPath, bpfRoot }, exec);
      await host.mount();
      const loaded = await host.isLoaded();
      if (!loaded) await clearRemains(bpfRoot, exec);
      return new FastPath({ mode, bpfRoot, host, loaded }, modules);
    } catch (error) {
      const fault = Fault.wrap("Cannot use the network's fast path", error);
      if (mode === "on") throw fault;
      log.info("the network goes without its fast path", { reason: fault.message });
      return await none();
    }

    async function none(): Promise<undefined> {
      await clearRemains(bpfRoot, exec);
    }
  }

  /** For `open`. */
  constructor(
    parts: {
      readonly mode: FastPathMode;
      readonly bpfRoot: string;
      readonly host: BpfHost;
      readonly loaded: boolean;
    },
    modules: FastPathModules,
  ) {
    this.#mode = parts.mode;
    this.#bpfRoot = parts.bpfRoot;
    this.#host = parts.host;
    this.#state = parts.loaded ? "loaded" : "absent";
    this.#exec = modules.exec;
    this.#log = modules.log;
    this.#readDevices = modules.readDevices ?? readDevices;
  }

  /** Before anything departs or changes: what is not so in `places` is out of the map when this resolves. */
  async retire(places: Places): Promise<void> {
    if (this.#state !== "loaded") return;
    try {
      await this.#attemptRetire(places);
    } catch (error) {
      // The map may not hold what is remembered: the second attempt starts from what is there.
      this.#doubt("reading the fast path's map anew", error);
      await this.#retireOrStandDown(places);
    }
  }

  /** After everything has arrived. What cannot be put in goes the slow way, so this fails only where the fast one is a must. */
  async enlist(places: Places): Promise<void> {
    if (this.#state === "absent" && places.size === 0) return;
    if (this.#state !== "down") this.#fault = await this.#tryToEnlist(places);
    if (this.#fault !== undefined && this.#mode === "on") throw this.#fault;
  }

  /** Trusts nothing that is remembered: the next calls look, and make again what is not there. */
  forget(): void {
    this.#values = undefined;
    this.#filtered.clear();
    if (this.#state === "down") this.#state = "absent";
  }

  /** Takes everything away. */
  async cleanup(): Promise<void> {
    await this.retire(noPlaces);
    await clearRemains(this.#bpfRoot, this.#exec);
    this.forget();
    this.#state = "absent";
  }

  async #attemptRetire(places: Places): Promise<void> {
    const actual = this.#values ?? (await this.#host.read());
    this.#values = undefined;
    const wanted = encodePlaces(places, await this.#readDevices(), this.#memory);
    const gone = planRetire(actual, wanted);
    await this.#host.delete(gone);
    this.#values = actual.with(gone, []);
  }

  async #retireOrStandDown(places: Places): Promise<void> {
    try {
      await this.#attemptRetire(places);
    } catch (error) {
      this.#doubt("taking the fast path away", error);
      await this.#standDown();
      this.#fault = Fault.wrap("Cannot program the network's fast path", error);
    }
  }

  async #tryToEnlist(places: Places): Promise<Fault | undefined> {
    try {
      await this.#attemptEnlist(places);
      return undefined;
    } catch (error) {
      this.#doubt("the fast path does not take new addresses", error);
      return Fault.wrap("Cannot program the network's fast path", error);
    }
  }

  async #attemptEnlist(places: Places): Promise<void> {
    await this.#ensureLoaded();
    const actual = this.#values ?? (await this.#host.read());
    const devices = await this.#readDevices();
    const wanted = encodePlaces(places, devices, this.#memory);
    await this.#ensureFilters(devicesOf(places, this.#memory), devices);
    const fresh = planEnlist(actual, wanted);
    this.#values = undefined;
    await this.#host.update(fresh);
    const values = actual.with([], fresh);
    // What is the same shall be the same object, so that the next difference is a short one.
    this.#values = values.size === wanted.size ? wanted : values;
  }

  /** Not before the rules: the programs call conntrack, which may be a module that comes with them. */
  async #ensureLoaded(): Promise<void> {
    if (this.#state === "loaded") return;
    try {
      await this.#host.load();
    } catch (error) {
      this.#state = "down";
      throw error;
    }
    this.#state = "loaded";
    this.#values = encodePlaces(noPlaces, new Map());
    this.#filtered.clear();
  }

  async #ensureFilters(
    names: ReadonlySet<string>,
    devices: ReadonlyMap<string, number>,
  ): Promise<void> {
    const lacking = [...devices].filter(
      ([name, index]) => names.has(name) && this.#filtered.get(name) !== index,
    );
    if (lacking.length > 0) await this.#host.attach(lacking.map(([name]) => filterOf(name)));
    for (const name of this.#filtered.keys()) if (!devices.has(name)) this.#filtered.delete(name);
    for (const [name, index] of lacking) this.#filtered.set(name, index);
  }

  async #standDown(): Promise<void> {
    try {
      await clearRemains(this.#bpfRoot, this.#exec);
    } catch (error) {
      throw Fault.wrap("Cannot take an address out of the network's fast path", error);
    }
    this.forget();
    this.#state = "down";
  }

  #doubt(message: string, error: unknown): void {
    this.#values = undefined;
    this.#filtered.clear();
    this.#log.warn(message, { reason: Fault.from(error).message });
  }
}

function filterOf(device: string): Filter {
  return { device, program: device === plainDevice ? "from_wire" : "from_task" };
}
