/**
 * The loop that gives networks their subnets and NEW tasks their addresses. The only writer of either, which is why its
 * address book, folded from commits, can be trusted while a round plans. What got nothing is tried again when something
 * comes free.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isWanted, stateOf } from "../task.ts";
import { AddressBook } from "./address-book.ts";
import { type AllocateContext, planNetworks, planTasks } from "./plan-allocate.ts";

export interface AllocatorModules extends Ports {
  readonly store: Store;
}

export class Allocator implements AsyncDisposable {
  readonly #modules: AllocatorModules;
  readonly #book: AddressBook;
  readonly #networks = new DirtySet<string>();
  readonly #tasks = new DirtySet<string>();
  /** Why each network or task got nothing when it was last tried. */
  readonly #blockedNetworks = new Map<string, string>();
  readonly #blockedTasks = new Set<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: AllocatorModules) {
    this.#modules = modules;
    this.#book = new AddressBook(modules.store);
    this.#loop = new Loop({ name: "allocator", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const network of modules.store.list("network")) this.#networks.add(network.id);
    for (const task of modules.store.list("task")) this.#onTask(task);
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    const freed = this.#book.onChange(change);
    if (change.kind === "task" && change.after !== undefined) this.#onTask(change.after);
    if (change.kind === "network" && change.after !== undefined) {
      this.#networks.add(change.after.id);
    }
    if (freed || change.kind === "network" || change.kind === "cluster") this.#retryBlocked();
  }

  #onTask(task: Task): void {
    if (!waits(task)) this.#blockedTasks.delete(task.id);
    else if (!this.#blockedTasks.has(task.id)) {
      this.#tasks.add(task.id);
      this.#loop.wake();
    }
  }

  #retryBlocked(): void {
    for (const id of this.#blockedNetworks.keys()) this.#networks.add(id);
    for (const id of this.#blockedTasks) this.#tasks.add(id);
    this.#blockedTasks.clear();
    if (this.#networks.size + this.#tasks.size > 0) this.#loop.wake();
  }

  /** Networks in a transaction of their own: tasks need their pools to be in the book. */
  async #round(): Promise<undefined> {
    const { store } = this.#modules;
    await this.#networks.drain((ids) => store.write((view) => this.#planNetworks(view, ids)));
    await this.#tasks.drain((ids) => store.writeInParts((view) => this.#planTasks(view, ids)));
  }

  #planNetworks(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const networks = [...ids]
      .flatMap((id) => view.get("network", id) ?? [])
      .filter((network) => this.#book.pool(network.id) === undefined);
    for (const id of ids) {
      if (!networks.some((network) => network.id === id)) this.#blockedNetworks.delete(id);
    }
    const plan = planNetworks(networks, this.#context(view));
    for (const { id, spec } of networks) {
      const reason = plan.blocked.get(id);
      const known = this.#blockedNetworks.get(id);
      if (reason === undefined) this.#blockedNetworks.delete(id);
      else this.#blockedNetworks.set(id, reason);
      if (reason === undefined || reason === known) continue;
      this.#modules.log.warn(
        `Cannot give network "${spec?.annotations?.name}" a subnet: ${reason}`,
      );
    }
    return plan.actions;
  }

  #planTasks(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const tasks = [...ids].flatMap((id) => view.get("task", id) ?? []).filter(waits);
    const plan = planTasks(tasks, this.#context(view));
    for (const id of plan.blocked.keys()) this.#blockedTasks.add(id);
    return plan.actions;
  }

  #context(view: View): AllocateContext {
    return { view, book: this.#book, nowMs: this.#modules.clock.now() };
  }
}

/** Whether a task is the allocator's to serve. */
function waits(task: Task): boolean {
  return stateOf(task) === TaskState.NEW && isWanted(task);
}
