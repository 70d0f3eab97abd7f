/** The loop behind the constraint enforcer: looks at nodes that changed, and has tasks that no longer fit stopped. */
import type { Ports } from "#proto/ports.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { planStop } from "./new-task.ts";
import { findMisfits } from "./plan-enforce.ts";

interface Modules extends Ports {
  readonly store: Store;
}

export class ConstraintEnforcer implements AsyncDisposable {
  readonly #modules: Modules;
  readonly #dirty = new DirtySet<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: Modules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "constraint enforcer", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const { kind, after } of changes)
        if (kind === "node" && after) this.#dirty.add(after.id);
      if (this.#dirty.size > 0) this.#loop.wake();
    });
    for (const { id } of modules.store.list("node")) this.#dirty.add(id);
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  async #round(): Promise<undefined> {
    await this.#dirty.drain((ids) =>
      this.#modules.store.writeInParts((view) => this.#plan(view, ids)),
    );
  }

  #plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
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
