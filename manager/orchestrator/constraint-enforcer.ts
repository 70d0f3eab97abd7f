/** The constraint enforcer: looks at nodes that changed, and has tasks that no longer fit stopped. */
import type { Ports } from "#proto/ports.ts";
import { DirtySet } from "../loop.ts";
import type { Planner } from "../store-loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { planStop } from "./new-task.ts";
import { findMisfits } from "./plan-enforce.ts";

interface Modules extends Ports {
  readonly store: Store;
}

export class ConstraintEnforcer implements Planner<string> {
  readonly name = "constraint enforcer";
  readonly dirty = new DirtySet<string>();
  readonly #modules: Modules;

  constructor(modules: Modules) {
    this.#modules = modules;
  }

  begin(): void {
    for (const { id } of this.#modules.store.list("node")) this.dirty.add(id);
  }

  onChange({ kind, after }: Change): void {
    if (kind === "node" && after !== undefined) this.dirty.add(after.id);
  }

  plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const { clock, log } = this.#modules;
    return [...ids].flatMap((id) => {
      const node = view.get("node", id);
      const misfits = node === undefined ? [] : findMisfits(node, view);
      return misfits.map(({ task, reason }) => {
        log.info("A task leaves a node that does not fit it any more", {
          task: task.id,
          node: id,
          reason,
        });
        return planStop({ ...task, desiredMessage: reason }, clock.now());
      });
    });
  }
}
