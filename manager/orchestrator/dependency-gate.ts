/** The planner behind the dependency gate. Looks at the services that wait when something changes that they may wait for. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { DirtySet } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Planner } from "../store-loop.ts";
import type { Store, View } from "../store/store.ts";
import { stateOf } from "../task.ts";
import { waitsForOthers } from "./new-task.ts";
import { planGate } from "./plan-gate.ts";

interface Modules extends Ports {
  readonly store: Store;
}

export class DependencyGate implements Planner<string> {
  readonly name = "dependency gate";
  /** Many tasks of a service come up together. */
  readonly gatherMs = 20;
  readonly dirty = new DirtySet<string>();
  readonly #modules: Modules;
  /** Who waits, by ID, and the names of those that it waits for. */
  readonly #waiting = new Map<string, ReadonlySet<string>>();

  constructor(modules: Modules) {
    this.#modules = modules;
  }

  begin(): void {
    for (const service of this.#modules.store.list("service")) this.#onService(service);
  }

  onChange(change: Change): void {
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
      if (this.#waiting.has(task.serviceId)) this.dirty.add(task.serviceId);
      this.#onName(task.serviceAnnotations?.name ?? "");
    } else if (change.kind === "node") for (const id of this.#waiting.keys()) this.dirty.add(id);
  }

  #onService(service: Service): void {
    const waited = this.#waiting.has(service.id);
    if (waitsForOthers(service)) {
      const names = (service.spec?.dependsOn ?? []).map(({ service: name }) => name);
      this.#waiting.set(service.id, new Set(names));
    } else this.#waiting.delete(service.id);
    // Also of one that waits no more: its tasks may have been left behind by the leader before.
    if (waited || (service.spec?.dependsOn ?? []).length > 0) this.dirty.add(service.id);
  }

  #onName(name: string): void {
    for (const [id, names] of this.#waiting) if (names.has(name)) this.dirty.add(id);
  }

  plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const nowMs = this.#modules.clock.now();
    return [...ids].flatMap((id) => {
      const service = view.get("service", id);
      return service === undefined ? [] : planGate(service, view, nowMs);
    });
  }
}
