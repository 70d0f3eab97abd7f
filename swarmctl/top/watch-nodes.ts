/** Listens to what several nodes say that their tasks use. A node that stops answering is named once and left out. */
import { ContainerService, type WatchStatsResponse } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { durationFromMs } from "#proto/time.ts";
import { complain } from "../complain.ts";
import type { Context } from "../context.ts";
import { nameOf } from "../node-call.ts";
import type { NodeSamples } from "./sample.ts";

export interface WatchOptions {
  readonly nodes: readonly Node[];
  readonly intervalMs: number;
}

export class NodeWatch {
  readonly samples = new Map<Node, NodeSamples>();
  readonly #context: Context;
  readonly #options: WatchOptions;
  readonly #waiting: Set<Node>;
  readonly #complete = Promise.withResolvers<void>();

  constructor(context: Context, options: WatchOptions) {
    this.#context = context;
    this.#options = options;
    this.#waiting = new Set(options.nodes);
    if (this.#waiting.size === 0) this.#complete.resolve();
  }

  /** Resolves when each node has said twice what its tasks use, so that there is a rate, or does not answer. */
  get complete(): Promise<void> {
    return this.#complete.promise;
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#options.nodes.map((node) => this.#listen(node, signal)));
  }

  async #listen(node: Node, signal: AbortSignal): Promise<void> {
    const { intervalMs } = this.#options;
    try {
      const client = await this.#context.engine(ContainerService, node.id);
      // All tasks, as those of a service may soon be others.
      const request = { interval: durationFromMs(intervalMs) };
      for await (const response of client.watchStats(request, { signal })) {
        this.#onResponse(node, response);
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const { message } = Fault.wrap(`Node ${nameOf(node)} does not answer`, thrown);
      complain(this.#context.io, message);
    }
    this.samples.delete(node);
    this.#done(node);
  }

  #onResponse(node: Node, last: WatchStatsResponse): void {
    const before = this.samples.get(node)?.last;
    this.samples.set(node, before === undefined ? { last } : { before, last });
    if (before !== undefined) this.#done(node);
  }

  #done(node: Node): void {
    this.#waiting.delete(node);
    if (this.#waiting.size === 0) this.#complete.resolve();
  }
}
