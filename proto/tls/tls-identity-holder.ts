/** The host's present certificate, for all who show it: a renewed one counts from the next handshake on. */
import type { TlsIdentity } from "../manager-messages.ts";

export class TlsIdentityHolder {
  #current: TlsIdentity;
  readonly #listeners = new Set<(identity: TlsIdentity) => void>();

  constructor(identity: TlsIdentity) {
    this.#current = identity;
  }

  get current(): TlsIdentity {
    return this.#current;
  }

  replace(identity: TlsIdentity): void {
    this.#current = identity;
    for (const listener of this.#listeners) listener(identity);
  }

  /** Tells of every later identity. */
  watch(listener: (identity: TlsIdentity) => void): Disposable {
    // Of its own, so that one function may listen twice.
    const own = (identity: TlsIdentity) => listener(identity);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => this.#listeners.delete(own) };
  }
}
