/** What this host is to managers, but for what its networks and certificates add. A reload changes some of it. */
import { isDeepStrictEqual } from "node:util";
import { advertisedAddress } from "#agent/api/advertised-address.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";

export class HostFacts {
  #config: Config;
  readonly #identity: Identity;
  readonly #listeners = new Set<() => void>();

  constructor(config: Config, identity: Identity) {
    this.#config = config;
    this.#identity = identity;
  }

  get current() {
    const { engineAddress: listened, genericResources, labels } = this.#config;
    const { dataPathAddress } = this.#identity;
    const engineAddress = advertisedAddress(listened, dataPathAddress);
    return { dataPathAddress, engineAddress, genericResources, labels };
  }

  /** Tells the listeners when managers must hear of it. */
  update(config: Config): void {
    const before = this.current;
    this.#config = config;
    if (isDeepStrictEqual(before, this.current)) return;
    for (const listener of this.#listeners) listener();
  }

  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }
}
