/**
 * The tasks of every service by slot, folded from commits. Leaves out tasks that have none, but belong to a node, and tasks
 * with desired state REMOVE: to the orchestrator they are gone. Invariant: after each commit it equals what a scan of the store would give.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";

/** Slot number → its tasks, dead ones included, in no order. */
export type Slots = ReadonlyMap<number, readonly Task[]>;

export class SlotIndex {
  readonly #services = new Map<string, Map<number, readonly Task[]>>();

  constructor(view: View) {
    for (const task of view.list("task")) this.#put(task);
  }

  slotsOf(serviceId: string): Slots {
    return this.#services.get(serviceId) ?? new Map();
  }

  tasksOf(serviceId: string, slot: number): readonly Task[] {
    return this.#services.get(serviceId)?.get(slot) ?? [];
  }

  onChange(change: Change): void {
    if (change.kind !== "task") return;
    const { before, after } = change;
    if (after === undefined || after.desiredState >= TaskState.REMOVE) {
      if (before !== undefined) this.#remove(before);
    } else this.#put(after);
  }

  #put(task: Task): void {
    if (task.serviceId === "" || task.slot === 0n || task.desiredState >= TaskState.REMOVE) return;
    let slots = this.#services.get(task.serviceId);
    if (slots === undefined) this.#services.set(task.serviceId, (slots = new Map()));
    const slot = Number(task.slot);
    const others = (slots.get(slot) ?? []).filter((other) => other.id !== task.id);
    slots.set(slot, [...others, task]);
  }

  #remove(task: Task): void {
    const slots = this.#services.get(task.serviceId);
    const slot = Number(task.slot);
    const left = (slots?.get(slot) ?? []).filter((other) => other.id !== task.id);
    if (left.length > 0) slots?.set(slot, left);
    else slots?.delete(slot);
    if (slots?.size === 0) this.#services.delete(task.serviceId);
  }
}
