/**
 * Finds the nodes that are down: those whose heartbeats have stayed away for three periods. Lives on the leader alone,
 * which takes the beats of its own sessions as they come, and those of other managers from their reports.
 *
 * Silence has four causes, and only the first is the node's:
 * - The node is dead: its manager is heard and does not name it. DOWN after its grace, and a report's time where the
 *   manager is another.
 * - The leader is new, and knows no beats yet: every READY node gets its grace and time to reconnect, for the old leader may
 *   have held its session. A node that died meanwhile is found at the end of that.
 * - Its manager is not heard: dead, or cut off from this one. From the manager's last report its nodes get the same. A
 *   manager that is cut off sends its agents away before that is over (timing.ts), so they are heard from elsewhere; those
 *   that cannot come are where the leader cannot reach them either.
 * - The leader itself stood still, so that beats and reports lie unread: everybody gets the grace anew.
 *
 * And somebody may have said that the node is about to be restarted: then it is waited for until the moment in the node.
 *
 * Invariant: nothing is DOWN for a session that is not its newest, nor after a beat that came since it expired.
 */
import { create } from "@bufbuild/protobuf";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, NodeStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { BatchWriter } from "../batch-writer.ts";
import { clusterOf, heartbeatPeriodMs } from "../cluster.ts";
import type { Action, Change } from "../store/objects.ts";
import { patienceMsMax } from "../node.ts";
import type { Store, View } from "../store/store.ts";
import { HeartbeatTracker } from "./heartbeat-tracker.ts";
import { graceMs, reconnectMs, reportPeriodMs, unheardMs } from "./timing.ts";

/**
 * Between the moment that a node's grace is over and its being declared DOWN. After a stall of this process its timers
 * run before the sockets are read: within this time the beats that lie unread are.
 */
const secondLookMs = 100;

export interface NodeLivenessModules extends Ports {
  readonly store: Store;
  /** This manager's node. */
  readonly nodeId: string;
}

/** A node whose heartbeats stayed away during a session. */
interface Loss {
  readonly nodeId: string;
  readonly sessionId: string;
}

export class NodeLiveness implements AsyncDisposable {
  readonly #modules: NodeLivenessModules;
  readonly #tracker = new HeartbeatTracker();
  readonly #writer: BatchWriter<Loss>;
  readonly #watch: Disposable;
  /** When each other manager was last heard. */
  readonly #heardMs = new Map<string, number>();
  readonly #startMs: number;
  #periodMs: number;
  #over = false;
  #timer: { readonly atMs: number; readonly handle: Disposable } | undefined;

  constructor(modules: NodeLivenessModules) {
    this.#modules = modules;
    const { store, clock } = modules;
    this.#writer = new BatchWriter(
      { name: "node liveness", gatherMs: 0, plan: (view, losses) => this.#plan(view, losses) },
      modules,
    );
    this.#startMs = clock.monotonic();
    this.#periodMs = heartbeatPeriodMs(clusterOf(store));
    const firstMs = graceMs(this.#periodMs) + reconnectMs(this.#periodMs);
    for (const { id, status } of store.list("node")) {
      if (status?.state === NodeState.READY) this.#tracker.beat(id, this.#startMs, firstMs);
    }
    this.#arm(this.#tracker.nextDeadline());
    this.#watch = store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
  }

  /** Rejects when nodes cannot be declared DOWN any more. */
  get failed(): Promise<never> {
    return this.#writer.failed;
  }

  beat(nodeId: string): void {
    this.#hold(nodeId, graceMs(this.#periodMs));
  }

  /** Another manager is there, and has taken the beats of these nodes since its last report. */
  report(managerId: string, nodeIds: readonly string[]): void {
    this.#heardMs.set(managerId, this.#modules.clock.monotonic());
    // The next beat may come as much later as a report may wait.
    const waitMs = graceMs(this.#periodMs) + reportPeriodMs(this.#periodMs);
    for (const nodeId of nodeIds) this.#hold(nodeId, waitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    this.#watch[Symbol.dispose]();
    this.#timer?.handle[Symbol.dispose]();
    await this.#writer[Symbol.asyncDispose]();
  }

  /** The node is alive, and waited for that long. */
  #hold(nodeId: string, waitMs: number): void {
    this.#arm(this.#tracker.beat(nodeId, this.#modules.clock.monotonic(), waitMs));
  }

  #onChange(change: Change): void {
    if (change.kind === "cluster") return this.#onPeriod();
    if (change.kind !== "node") return;
    const { before, after } = change;
    if (after === undefined) {
      if (before === undefined) return;
      this.#tracker.forget(before.id);
      this.#heardMs.delete(before.id);
    } else if (after.status?.state === NodeState.READY) {
      const opened = after.sessionId !== before?.sessionId;
      // It was waited for longer than it needs.
      if (awaitedUntilMs(after) < awaitedUntilMs(before)) {
        this.#tracker.forget(after.id);
        this.beat(after.id);
      } else if (opened || before?.status?.state !== NodeState.READY) this.beat(after.id);
    }
  }

  /** Agents hear of a longer period at their next beat, and may do so before this: everybody gets the new grace. */
  #onPeriod(): void {
    const periodMs = heartbeatPeriodMs(clusterOf(this.#modules.store));
    if (periodMs === this.#periodMs) return;
    this.#periodMs = periodMs;
    this.#tracker.pardon(this.#modules.clock.monotonic(), graceMs(periodMs));
  }

  /** Beats only move deadlines back, so a timer that is set stays early enough; unless the period was shortened. */
  #arm(atMs: number | undefined): void {
    if (atMs === undefined || this.#over) return;
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.handle[Symbol.dispose]();
    const waitMs = Math.max(atMs - this.#modules.clock.monotonic(), 0);
    this.#timer = { atMs, handle: this.#modules.clock.timer(waitMs, () => this.#onTimer(atMs)) };
  }

  #onTimer(dueMs: number): void {
    this.#timer = undefined;
    const { clock, log } = this.#modules;
    const nowMs = clock.monotonic();
    const lateMs = nowMs - dueMs;
    if (lateMs > this.#periodMs) {
      log.warn("The manager stood still; nodes get their grace anew", { lateMs });
      this.#tracker.pardon(nowMs, graceMs(this.#periodMs));
      for (const managerId of this.#heardMs.keys()) this.#heardMs.set(managerId, nowMs);
    }
    const next = this.#tracker.nextDeadline();
    if (next === undefined || next > nowMs) return this.#arm(next);
    const handle = clock.timer(secondLookMs, () => this.#onSecondLook(nowMs));
    this.#timer = { atMs: nowMs, handle };
  }

  /** Whoever expired after the first look has one of its own to come. */
  #onSecondLook(firstLookMs: number): void {
    this.#timer = undefined;
    for (const nodeId of this.#tracker.expire(firstLookMs)) this.#onExpired(nodeId, firstLookMs);
    this.#arm(this.#tracker.nextDeadline());
  }

  #onExpired(nodeId: string, nowMs: number): void {
    const { store, log } = this.#modules;
    const node = store.get("node", nodeId);
    if (node?.status?.state !== NodeState.READY) return;
    const waitsMs = Math.max(this.#searchMs(node, nowMs), this.#awaitedMs(node));
    if (waitsMs > 0) return void this.#tracker.beat(nodeId, nowMs, waitsMs);
    log.warn("A node's heartbeats have stayed away; it is down", { nodeId });
    // A failure ends the leadership by way of `failed`.
    this.#writer.submit({ nodeId, sessionId: node.sessionId }).catch(() => undefined);
  }

  /** How much longer the node may be on its way from a manager that is not heard to another. */
  #searchMs({ sessionManagerId }: Node, nowMs: number): number {
    if (sessionManagerId === "" || sessionManagerId === this.#modules.nodeId) return 0;
    const heardMs = this.#heardMs.get(sessionManagerId) ?? this.#startMs;
    if (nowMs - heardMs < unheardMs(this.#periodMs)) return 0;
    return heardMs + graceMs(this.#periodMs) + reconnectMs(this.#periodMs) - nowMs;
  }

  /** How much longer somebody wants it to be waited for; not at all by what was said before the clock was put back. */
  #awaitedMs({ awaitedUntil }: Node): number {
    if (awaitedUntil === undefined) return 0;
    const leftMs = msFromTimestamp(awaitedUntil) - this.#modules.clock.now();
    return leftMs > patienceMsMax ? 0 : leftMs;
  }

  #plan(view: View, losses: readonly Loss[]): readonly Action[] {
    const lost = new Map(losses.map((loss) => [loss.nodeId, loss]));
    return [...lost.values()].flatMap(({ nodeId, sessionId }): readonly Action[] => {
      const node = view.get("node", nodeId);
      if (node?.status?.state !== NodeState.READY) return [];
      if (node.sessionId !== sessionId || this.#tracker.tracks(nodeId)) return [];
      const status = create(NodeStatusSchema, {
        state: NodeState.DOWN,
        message: "heartbeat failure",
        address: node.status.address,
      });
      return [{ action: "update", kind: "node", object: { ...node, status } }];
    });
  }
}

function awaitedUntilMs(node: Node | undefined): number {
  return msFromTimestamp(node?.awaitedUntil);
}
