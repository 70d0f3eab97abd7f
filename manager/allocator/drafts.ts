/** What one plan has chosen of the books, so that it does not choose it twice. Dropped with the plan. */
import type { View } from "../store/store.ts";
import { slotName } from "../store/resolve.ts";
import type { AddressBook } from "./address-book.ts";
import { type AddressPool, PoolDraft } from "./address-pool.ts";
import type { PortBook } from "./port-book.ts";

export interface AllocateContext {
  readonly view: View;
  readonly addresses: AddressBook;
  readonly ports: PortBook;
  /** IDs of the networks that have no subnet, each with why. */
  readonly blockedNetworks: ReadonlyMap<string, string>;
  readonly nowMs: number;
}

export class PoolDrafts {
  readonly #drafts = new Map<AddressPool, PoolDraft>();

  of(pool: AddressPool): PoolDraft {
    const known = this.#drafts.get(pool);
    if (known !== undefined) return known;
    const draft = new PoolDraft(pool);
    this.#drafts.set(pool, draft);
    return draft;
  }
}

/** Why nobody has an address on the network. */
export function noSubnetWords({ view, blockedNetworks }: AllocateContext, id: string): string {
  const why = blockedNetworks.get(id);
  return `network "${networkName(view, id)}" has no subnet${why === undefined ? " yet" : `: ${why}`}`;
}

/** An address's holder as users know it. */
export function holderWords(view: View, holder: string): string {
  const [kind, id = ""] = holder.split(":", 2);
  if (kind === "task") {
    const task = view.get("task", id);
    return task === undefined ? `task ${id}` : `task "${slotName(task)}"`;
  }
  return `service "${serviceName(view, id)}"`;
}

export function serviceName(view: View, id: string): string {
  return view.get("service", id)?.spec?.annotations?.name ?? id;
}

export function networkName(view: View, id: string): string {
  return view.get("network", id)?.spec?.annotations?.name ?? id;
}
