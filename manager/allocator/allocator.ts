/**
 * The loop that gives networks their subnets, services their virtual addresses and published ports, and NEW tasks their
 * addresses. The only writer of these, which is why its books, folded from commits, can be trusted while a round plans.
 * What got nothing is tried again when something comes free.
 */
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isWanted, stateOf } from "../task.ts";
import { AddressBook } from "./address-book.ts";
import type { AllocateContext } from "./drafts.ts";
import { clashesOf, planNetworks } from "./plan-networks.ts";
import { planServices } from "./plan-services.ts";
import { planTasks } from "./plan-tasks.ts";
import { PortBook } from "./port-book.ts";

export interface AllocatorModules extends Ports {
  readonly store: Store;
}

export class Allocator implements AsyncDisposable {
  readonly #modules: AllocatorModules;
  readonly #addresses: AddressBook;
  readonly #ports: PortBook;
  readonly #networks = new DirtySet<string>();
  readonly #services = new DirtySet<string>();
  readonly #tasks = new DirtySet<string>();
  /** Why each network got nothing when it was last tried. */
  readonly #blockedNetworks = new Map<string, string>();
  /** What each service lacked when it was last tried, and why. */
  readonly #blockedServices = new Map<string, string>();
  readonly #blockedTasks = new Set<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: AllocatorModules) {
    this.#modules = modules;
    const { store } = modules;
    this.#addresses = new AddressBook(store);
    this.#ports = new PortBook(store);
    this.#loop = new Loop({ name: "allocator", round: () => this.#round() }, modules);
    this.#watch = store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const network of store.list("network")) this.#networks.add(network.id);
    for (const service of store.list("service")) this.#services.add(service.id);
    for (const task of store.list("task")) this.#onTask(task);
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
    const freedAddress = this.#addresses.onChange(change);
    const freedPort = this.#ports.onChange(change);
    if (change.kind === "task" && change.after !== undefined) this.#onTask(change.after);
    if (change.kind === "service") this.#onService(change.before, change.after);
    if (change.kind === "node") this.#onNode(change.before, change.after);
    if (change.kind === "network" && change.after !== undefined) {
      this.#networks.add(change.after.id);
    }
    if (freedAddress || freedPort || mayUnblock(change)) this.#retryBlocked();
  }

  #onTask(task: Task): void {
    if (!waits(task)) this.#blockedTasks.delete(task.id);
    else if (!this.#blockedTasks.has(task.id)) {
      this.#tasks.add(task.id);
      this.#loop.wake();
    }
  }

  #onService(before: Service | undefined, after: Service | undefined): void {
    if (after === undefined) {
      if (before !== undefined) this.#blockedServices.delete(before.id);
      return;
    }
    this.#services.add(after.id);
    this.#loop.wake();
  }

  /** New networks keep away from nodes' addresses; what a node brings to networks that there are can only be told. */
  #onNode(before: Node | undefined, after: Node | undefined): void {
    const had = new Set(before?.description?.addresses);
    const isNew = after?.description?.addresses.some((address) => !had.has(address)) ?? false;
    if (after === undefined || !isNew) return;
    for (const clash of clashesOf(after, this.#modules.store)) this.#modules.log.warn(clash);
  }

  #retryBlocked(): void {
    for (const id of this.#blockedNetworks.keys()) this.#networks.add(id);
    for (const id of this.#blockedServices.keys()) this.#services.add(id);
    for (const id of this.#blockedTasks) this.#tasks.add(id);
    this.#blockedTasks.clear();
    if (this.#networks.size + this.#services.size + this.#tasks.size > 0) this.#loop.wake();
  }

  /** Each in a transaction of its own: services need the networks' pools to be in the book, tasks their services' ports. */
  async #round(): Promise<undefined> {
    const { store } = this.#modules;
    await this.#networks.drain((ids) => store.write((view) => this.#planNetworks(view, ids)));
    await this.#services.drain((ids) =>
      store.writeInParts((view) => this.#planServices(view, ids)),
    );
    await this.#tasks.drain((ids) => store.writeInParts((view) => this.#planTasks(view, ids)));
  }

  #planNetworks(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const networks = [...ids]
      .flatMap((id) => view.get("network", id) ?? [])
      .filter(({ id }) => this.#addresses.poolsOf(id).length === 0);
    for (const id of ids) {
      if (!networks.some((network) => network.id === id)) this.#blockedNetworks.delete(id);
    }
    const plan = planNetworks(networks, view);
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

  #planServices(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const services = [...ids].flatMap((id) => view.get("service", id) ?? []);
    const plan = planServices(services, this.#context(view));
    for (const { id } of services) {
      const reason = plan.blocked.get(id);
      const known = this.#blockedServices.get(id);
      if (reason !== undefined) this.#blockedServices.set(id, reason);
      else this.#blockedServices.delete(id);
      // Its tasks, which say what it lacks, come after it in the same round.
      if (reason === known) continue;
      for (const task of view.tasksOfService(id)) {
        if (this.#blockedTasks.delete(task.id)) this.#tasks.add(task.id);
      }
    }
    return plan.actions;
  }

  #planTasks(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const tasks = [...ids].flatMap((id) => view.get("task", id) ?? []).filter(waits);
    const blockedServices = this.#blockedServices;
    const plan = planTasks(tasks, { ...this.#context(view), blockedServices });
    for (const id of plan.blocked) this.#blockedTasks.add(id);
    return plan.actions;
  }

  #context(view: View): AllocateContext {
    const { clock } = this.#modules;
    return {
      view,
      addresses: this.#addresses,
      ports: this.#ports,
      blockedNetworks: this.#blockedNetworks,
      nowMs: clock.now(),
    };
  }
}

/** Whether a task is the allocator's to serve. */
function waits(task: Task): boolean {
  return stateOf(task) === TaskState.NEW && isWanted(task);
}

/** Beside addresses and ports that came free: a network or a pool that there was not, a static address of a lost node. */
function mayUnblock(change: Change): boolean {
  if (change.kind === "node") {
    return change.before?.status?.state !== change.after?.status?.state;
  }
  return change.kind === "network" || change.kind === "cluster";
}
