/**
 * The loop behind rebalances. It marks the tasks that shall move; their service's orchestrator moves them, in the service's
 * order and parallelism. A rebalance is asked for by a user, or, where the cluster is set so, begun here when a node has been
 * there for a while that was not before.
 *
 * How long nodes have been there is known in memory alone: a new leader begins to count anew, and what is even by then is
 * left as it is. So is what nodes make uneven that come and go more often than they are waited for.
 */
import type { Cluster, Node, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { clusterOf } from "../cluster.ts";
import { DirtySet, earliest, Loop } from "../loop.ts";
import { isAvailable, NodeLoads } from "../scheduler/node-load.ts";
import type { Change } from "../store/objects.ts";
import type { Store } from "../store/store.ts";
import { isWanted } from "../task.ts";
import { planRebalanceStep } from "./plan-rebalance.ts";
import { isPaused, takesTurns } from "./update-config.ts";

/** How long a node must have been there before tasks are moved to it unasked: longer than a host takes to restart swarmd. */
export const steadyMs = 60_000;

interface Modules extends Ports {
  readonly store: Store;
}

export class Rebalancer implements AsyncDisposable {
  readonly #modules: Modules;
  readonly #dirty = new DirtySet<string>();
  /** Since when nodes take tasks. */
  readonly #steadySince = new Map<string, number>();
  /** Nodes that no automatic rebalance has seen yet. */
  readonly #fresh = new Set<string>();
  /** Services to even out unasked, at once or when their update is over. */
  readonly #due = new Set<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: Modules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "rebalancer", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const node of modules.store.list("node")) this.#onNode(node);
    for (const service of modules.store.list("service")) this.#onService(service);
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange({ kind, before, after }: Change): void {
    if (kind === "node") {
      if (after !== undefined) this.#onNode(after);
      else if (before !== undefined) this.#steadySince.delete(before.id);
    } else if (kind === "service") {
      if (after !== undefined) this.#onService(after);
      else if (before !== undefined) this.#due.delete(before.id);
    } else if (kind === "task") {
      const moved = before?.moves && isWanted(before) && !(after && isWanted(after));
      if (moved) this.#look(before.serviceId);
    } else if (kind === "cluster" && !isAutomatic(before) && isAutomatic(after)) {
      for (const id of this.#steadySince.keys()) this.#fresh.add(id);
      this.#loop.wake();
    }
  }

  #onNode(node: Node): void {
    if (!isAvailable(node)) {
      this.#steadySince.delete(node.id);
      this.#fresh.delete(node.id);
    } else if (!this.#steadySince.has(node.id)) {
      this.#steadySince.set(node.id, this.#modules.clock.now());
      this.#fresh.add(node.id);
      this.#loop.wake();
    }
  }

  #onService(service: Service): void {
    const waited = this.#due.has(service.id) && isAtRest(service);
    if (waited || service.rebalances !== service.rebalancesDone) this.#look(service.id);
  }

  #look(serviceId: string): void {
    this.#dirty.add(serviceId);
    this.#loop.wake();
  }

  async #round(): Promise<number | undefined> {
    const wakeAtMs = this.#welcomeNodes();
    await this.#dirty.drain(async (ids) => {
      let known: NodeLoads | undefined;
      const loads = () => (known ??= new NodeLoads(this.#modules.store));
      for (const id of ids) await this.#step(id, loads);
    });
    return wakeAtMs;
  }

  /** When the next one has been there for long enough. */
  #welcomeNodes(): number | undefined {
    const { store, clock } = this.#modules;
    const nowMs = clock.now();
    let wakeAtMs: number | undefined;
    for (const id of this.#fresh) {
      const atMs = (this.#steadySince.get(id) ?? nowMs) + steadyMs;
      if (atMs > nowMs) {
        wakeAtMs = earliest(wakeAtMs, atMs);
        continue;
      }
      this.#fresh.delete(id);
      if (!isAutomatic(clusterOf(store))) continue;
      for (const service of store.list("service")) {
        this.#due.add(service.id);
        this.#dirty.add(service.id);
      }
    }
    return wakeAtMs;
  }

  async #step(id: string, loads: () => NodeLoads): Promise<void> {
    const { store, clock } = this.#modules;
    const nowMs = clock.now();
    const unasked = this.#due.has(id);
    const isSteady = (node: Node) => nowMs >= (this.#steadySince.get(node.id) ?? nowMs) + steadyMs;
    await store.write((view) => {
      const service = view.get("service", id);
      if (service === undefined || !isAtRest(service)) return [];
      const asked = service.rebalances !== service.rebalancesDone;
      if (!asked && !unasked) return [];
      const takes = asked ? () => true : isSteady;
      return planRebalanceStep(service, { view, loads, takes, nowMs });
    });
    const service = store.get("service", id);
    if (service === undefined || isAtRest(service)) this.#due.delete(id);
  }
}

/** Where tasks are packed, unevenness is what is wanted. */
function isAutomatic(cluster: Cluster | undefined): boolean {
  const scheduling = cluster?.spec?.scheduling;
  return scheduling?.autoRebalance === true && scheduling.strategy === SchedulingStrategy.SPREAD;
}

/** Otherwise what moves would be updated by that. */
function isAtRest(service: Service): boolean {
  return !takesTurns(service) && !isPaused(service);
}
