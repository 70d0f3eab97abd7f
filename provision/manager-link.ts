/**
 * A way to the cluster's managers that stays when one of them goes: it asks the first that answers of those that are known, and
 * tries again while a leader is elected or a manager starts.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { type ControlClient, controlOf, type Link } from "./clients.ts";
import type { Remote } from "./remote.ts";

/** Elections take a second or two, a manager's start on a slow machine more. */
const patienceMs = 90_000;
const pauseMs = 500;

export interface ManagerLinkPorts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class ManagerLink implements Disposable {
  readonly #ports: ManagerLinkPorts;
  readonly #managers = new Map<string, Remote>();
  #current: { readonly name: string; readonly link: Link<ControlClient> } | undefined;

  constructor(ports: ManagerLinkPorts) {
    this.#ports = ports;
  }

  /** The first that is added is the first that is asked. */
  add(name: string, remote: Remote): void {
    this.#managers.set(name, remote);
  }

  drop(name: string): void {
    this.#managers.delete(name);
    if (this.#current?.name === name) this.#forget();
  }

  /** `work` may run several times: whatever it writes names the version that it has read. */
  async ask<T>(work: (control: ControlClient) => Promise<T>): Promise<T> {
    const { clock, signal } = this.#ports;
    const endMs = clock.monotonic() + patienceMs;
    for (;;) {
      try {
        signal.throwIfAborted();
        return await work(await this.#connected());
      } catch (thrown) {
        if (signal.aborted) throw Fault.from(signal.reason);
        const { code } = Fault.from(thrown);
        const mayPass =
          code === "conflict" || code === "unavailable" || code === "deadline-exceeded";
        if (!mayPass || clock.monotonic() >= endMs) throw thrown;
        if (code !== "conflict") this.#forget();
        await clock.sleep(pauseMs, signal);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#forget();
  }

  async #connected(): Promise<ControlClient> {
    if (this.#current !== undefined) return this.#current.link.client;
    let refusal: unknown = new Fault("unavailable", "No manager of the cluster can be reached");
    for (const [name, remote] of this.#managers) {
      try {
        const link = await controlOf(remote);
        this.#current = { name, link };
        await link.client.listNodes({});
        return link.client;
      } catch (thrown) {
        this.#forget();
        refusal = thrown;
      }
    }
    throw refusal;
  }

  #forget(): void {
    this.#current?.link[Symbol.dispose]();
    this.#current = undefined;
  }
}
