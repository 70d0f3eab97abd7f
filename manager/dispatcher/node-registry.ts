/**
 * Which nodes are READY and which are DOWN. Writes a node when its session begins and when its heartbeats have stayed
 * away for three periods. All of it goes through one lane: a node that comes back while it is being declared DOWN ends
 * up READY.
 */
import { create, equals } from "@bufbuild/protobuf";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type NodeDescription,
  NodeDescriptionSchema,
  NodeState,
  NodeStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { BatchWriter } from "../batch-writer.ts";
import { clusterOf, heartbeatPeriodMs } from "../cluster.ts";
import type { Action } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { HeartbeatTracker } from "./heartbeat-tracker.ts";

/** Heartbeats that may fail to come before a node is DOWN. */
const missedBeatsMax = 3;

/**
 * Between the moment that a node's grace is over and its being declared DOWN. After a stall of this process its timers
 * run before the sockets are read: within this time the beats that lie unread are.
 */
const secondLookMs = 100;

export interface NodeRegistryOptions {
  /** What nodes get on top of their grace when this manager begins to lead: they have to find it first. */
  readonly reconnectMs: number;
}

export interface NodeRegistryModules extends Ports {
  readonly store: Store;
  /** Told of a node whose heartbeats have stayed away, before it is DOWN in the store. */
  readonly onLost: (nodeId: string) => void;
}

export type NodeNews =
  | {
      readonly state: "ready";
      readonly nodeId: string;
      readonly description: NodeDescription | undefined;
      readonly address: string;
    }
  | { readonly state: "down"; readonly nodeId: string };

export class NodeRegistry implements AsyncDisposable {
  readonly #modules: NodeRegistryModules;
  readonly #tracker = new HeartbeatTracker();
  readonly #writer: BatchWriter<NodeNews>;
  #timer: { readonly atMs: number; readonly handle: Disposable } | undefined;

  constructor(options: NodeRegistryOptions, modules: NodeRegistryModules) {
    this.#modules = modules;
    this.#writer = new BatchWriter(
      { name: "node registry", gatherMs: 0, plan: planNodes },
      modules,
    );
    const nowMs = modules.clock.monotonic();
    for (const { id, status } of modules.store.list("node")) {
      if (status?.state !== NodeState.READY) continue;
      this.#tracker.beat(id, nowMs, this.#graceMs() + options.reconnectMs);
    }
    this.#arm(this.#tracker.nextDeadline());
  }

  get failed(): Promise<never> {
    return this.#writer.failed;
  }

  /** How often a node has to beat. */
  periodMs(): number {
    return heartbeatPeriodMs(clusterOf(this.#modules.store));
  }

  /** Resolves when the node is READY in the store. */
  async register(news: Extract<NodeNews, { state: "ready" }>): Promise<void> {
    this.beat(news.nodeId);
    await this.#writer.submit(news);
  }

  beat(nodeId: string): void {
    this.#arm(this.#tracker.beat(nodeId, this.#modules.clock.monotonic(), this.#graceMs()));
  }

  forget(nodeId: string): void {
    this.#tracker.forget(nodeId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.handle[Symbol.dispose]();
    await this.#writer[Symbol.asyncDispose]();
  }

  #graceMs(): number {
    return missedBeatsMax * this.periodMs();
  }

  /** Beats only move deadlines back, so a timer that is set stays early enough; unless the period was shortened. */
  #arm(atMs: number | undefined): void {
    if (atMs === undefined || (this.#timer !== undefined && this.#timer.atMs <= atMs)) return;
    this.#timer?.handle[Symbol.dispose]();
    const waitMs = Math.max(atMs - this.#modules.clock.monotonic(), 0);
    this.#timer = { atMs, handle: this.#modules.clock.timer(waitMs, () => this.#onTimer(atMs)) };
  }

  #onTimer(dueMs: number): void {
    this.#timer = undefined;
    const { clock, log } = this.#modules;
    const nowMs = clock.monotonic();
    const lateMs = nowMs - dueMs;
    if (lateMs > this.periodMs()) {
      log.warn("The manager stood still; nodes get their grace anew", { lateMs });
      this.#tracker.pardon(nowMs, this.#graceMs());
    }
    const next = this.#tracker.nextDeadline();
    if (next === undefined || next > nowMs) return this.#arm(next);
    const handle = clock.timer(secondLookMs, () => this.#onSecondLook(nowMs));
    this.#timer = { atMs: nowMs, handle };
  }

  /** Whoever expired after the first look has one of its own to come. */
  #onSecondLook(firstLookMs: number): void {
    this.#timer = undefined;
    for (const nodeId of this.#tracker.expire(firstLookMs)) this.#onExpired(nodeId);
    this.#arm(this.#tracker.nextDeadline());
  }

  #onExpired(nodeId: string): void {
    this.#modules.log.warn("A node's heartbeats have stayed away; it is down", { nodeId });
    this.#modules.onLost(nodeId);
    // A failure ends the leadership by way of `failed`.
    this.#writer.submit({ state: "down", nodeId }).catch(() => undefined);
  }
}

/** What the news come to, the last of each node counting. Nothing is written that is so already. */
export function planNodes(view: View, news: readonly NodeNews[]): readonly Action[] {
  const latest = new Map(news.map((one) => [one.nodeId, one]));
  return [...latest.values()].flatMap((one): readonly Action[] => {
    const node = view.get("node", one.nodeId);
    const object = node && (one.state === "down" ? downNode(node) : readyNode(node, one));
    return object === undefined ? [] : [{ action: "update", kind: "node", object }];
  });
}

function downNode(node: Node): Node | undefined {
  if (node.status?.state === NodeState.DOWN) return undefined;
  const status = create(NodeStatusSchema, {
    state: NodeState.DOWN,
    message: "heartbeat failure",
    address: node.status?.address ?? "",
  });
  return { ...node, status };
}

function readyNode(node: Node, news: Extract<NodeNews, { state: "ready" }>): Node | undefined {
  const description = news.description ?? node.description;
  const same =
    node.status?.state === NodeState.READY &&
    node.status.address === news.address &&
    sameDescription(node.description, description);
  if (same) return undefined;
  const status = create(NodeStatusSchema, { state: NodeState.READY, address: news.address });
  return { ...node, description, status };
}

function sameDescription(a: NodeDescription | undefined, b: NodeDescription | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(NodeDescriptionSchema, a, b);
}
