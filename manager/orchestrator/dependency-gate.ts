/** The loop behind the dependency gate. Looks at the services that wait when something changes that they may wait for. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { stateOf } from "../task.ts";
import { waitsForOthers } from "./new-task.ts";
import { planGate } from "./plan-gate.ts";

interface Modules extends Ports {
  readonly store: Store;
}

/** Many tasks of a service come up together. */
const gatherMs = 20;

export class DependencyGate implements AsyncDisposable {
  readonly #modules: Modules;
  /** Who waits, by ID, and the names of those that it waits for. */
  readonly #waiting = new Map<string, ReadonlySet<string>>();
  readonly #dirty = new DirtySet<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: Modules) {
    this.#modules = modules;
    const round = () => this.#round();
    this.#loop = new Loop({ name: "dependency gate", gatherMs, round }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
      if (this.#dirty.size > 0) this.#loop.wake();
    });
    for (const service of modules.store.list("service")) this.#onService(service);
    if (this.#dirty.size > 0) this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    if (change.kind === "service") {
      if (change.after !== undefined) this.#onService(change.after);
      else if (change.before !== undefined) this.#waiting.delete(change.before.id);
      this.#onName((change.after ?? change.before)?.spec?.annotations?.name ?? "");
    } else if (change.kind === "task") {
      const { before, after } = change;
      const task = after ?? before;
      if (task === undefined || this.#waiting.size === 0) return;
      const same =
        before !== undefined &&
        after !== undefined &&
        before.desiredState === after.desiredState &&
        before.status?.message === after.status?.message &&
        stateOf(before) === stateOf(after);
      if (same) return;
      if (this.#waiting.has(task.serviceId)) this.#dirty.add(task.serviceId);
      this.#onName(task.serviceAnnotations?.name ?? "");
    } else if (change.kind === "node") for (const id of this.#waiting.keys()) this.#dirty.add(id);
  }

  #onService(service: Service): void {
    const waited = this.#waiting.has(service.id);
    if (waitsForOthers(service)) {
      const names = (service.spec?.dependsOn ?? []).map(({ service: name }) => name);
      this.#waiting.set(service.id, new Set(names));
    } else this.#waiting.delete(service.id);
    // Also of one that waits no more: its tasks may have been left behind by the leader before.
    if (waited || (service.spec?.dependsOn ?? []).length > 0) this.#dirty.add(service.id);
  }

  #onName(name: string): void {
    for (const [id, names] of this.#waiting) if (names.has(name)) this.#dirty.add(id);
  }

  async #round(): Promise<undefined> {
    await this.#dirty.drain((ids) =>
      this.#modules.store.writeInParts((view) => this.#plan(view, ids)),
    );
  }

  #plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const nowMs = this.#modules.clock.now();
    return [...ids].flatMap((id) => {
      const service = view.get("service", id);
      return service === undefined ? [] : planGate(service, view, nowMs);
    });
  }
}
