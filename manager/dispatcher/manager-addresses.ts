/** Where managers are reachable, as the store has it. */
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";

export class ManagerAddresses {
  /** By node ID. */
  readonly #addresses = new Map<string, string>();

  constructor(view: View) {
    for (const node of view.list("node"))
      this.onChange({ kind: "node", before: undefined, after: node });
  }

  /** Whether the addresses are others now. */
  onChange(change: Change): boolean {
    if (change.kind !== "node") return false;
    const id = (change.after ?? change.before)?.id ?? "";
    const address = change.after?.managerStatus?.address || undefined;
    if (this.#addresses.get(id) === address) return false;
    if (address === undefined) this.#addresses.delete(id);
    else this.#addresses.set(id, address);
    return true;
  }

  /** Whose they are. */
  get nodeIds(): readonly string[] {
    return [...this.#addresses.keys()];
  }

  /** All of them; those for different nodes begin at different managers, so that the nodes spread. */
  listFor(nodeNumber: number): readonly string[] {
    const all = [...this.#addresses.values()].toSorted();
    const first = all.length === 0 ? 0 : nodeNumber % all.length;
    return [...all.slice(first), ...all.slice(0, first)];
  }
}
