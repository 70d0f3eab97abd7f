/**
 * What the nodes that have their sessions with this manager are to answer, for readers here and at other managers. The
 * dispatcher sends each node its wishes as log subscriptions, and the node answers each with one call of PublishLogs.
 *
 * Invariant: a wish is over exactly once: closed by its node's last word, broken off, or withdrawn by who made it. A call
 * for a wish that another call answers already breaks it off: the node has begun anew, from the start.
 */
import { Fault } from "#proto/fault.ts";
import type { LogMessage } from "#proto/gen/swarm/v1/control_pb.ts";
import type { LogSubscription, PublishLogsRequest } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { View } from "../store/store.ts";

/** What becomes of a wish. */
export interface Answer {
  /** The node has called; a quiet task has nothing to send for long, but its node calls at once. */
  onAnswer(): void;
  /** The call was for another wish. */
  onNoAnswer(): void;
  /** Resolves when there is room for more. */
  onMessages(messages: readonly LogMessage[]): Promise<void>;
  /** The node's last word; `err` says why the log is incomplete, if it is. */
  onClose(err: string): void;
  onBroken(): void;
}

interface Wish {
  readonly nodeId: string;
  readonly subscription: LogSubscription;
  readonly answer: Answer;
  /** The call that answers it. */
  call?: AbortSignal;
}

export class Wishes {
  readonly #view: View;
  readonly #wishes = new Map<string, Wish>();
  readonly #listeners = new Map<string, Set<() => void>>();
  /** Node → how many of its calls have not said which wish they answer. */
  readonly #unnamed = new Map<string, number>();

  constructor(view: View) {
    this.#view = view;
  }

  /** Disposed, the wish is withdrawn. */
  open(nodeId: string, subscription: LogSubscription, answer: Answer): Disposable {
    const wish = { nodeId, subscription, answer };
    this.#wishes.set(subscription.id, wish);
    this.#notify(nodeId);
    return { [Symbol.dispose]: () => void this.#remove(wish) };
  }

  /** What a node is to answer now. */
  subscriptionsFor(nodeId: string): readonly LogSubscription[] {
    return this.#wishesOf(nodeId).map(({ subscription }) => subscription);
  }

  /** Calls the listener after the node's subscriptions have changed. */
  watchSubscriptions(nodeId: string, listener: () => void): Disposable {
    const listeners = this.#listeners.get(nodeId) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(nodeId, listeners);
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0) this.#listeners.delete(nodeId);
      },
    };
  }

  /** One call of a node, which answers one wish. */
  async publish(
    node: Node,
    requests: AsyncIterable<PublishLogsRequest>,
    signal: AbortSignal,
  ): Promise<void> {
    const named = this.#unnamedCall(node.id);
    let wish: Wish | undefined;
    try {
      for await (const request of untilAborted(requests, signal)) {
        wish ??= this.#begin(node, request.subscriptionId, signal);
        named();
        if (request.subscriptionId !== wish.subscription.id) {
          throw new Fault("invalid-argument", "one call publishes for one subscription");
        }
        await this.#accept(wish, request);
        if (request.close) return;
      }
    } finally {
      named();
      if (wish !== undefined && this.#remove(wish)) wish.answer.onBroken();
    }
  }

  /** A call that may answer any wish of its node; what is returned ends that. */
  #unnamedCall(nodeId: string): () => void {
    const count = (change: number) => {
      const now = (this.#unnamed.get(nodeId) ?? 0) + change;
      if (now > 0) this.#unnamed.set(nodeId, now);
      else this.#unnamed.delete(nodeId);
      return now;
    };
    const silent = () => this.#wishesOf(nodeId).filter(({ call }) => call === undefined);
    count(1);
    for (const { answer } of silent()) answer.onAnswer();
    let isNamed = false;
    return () => {
      if (isNamed) return;
      isNamed = true;
      if (count(-1) === 0) for (const { answer } of silent()) answer.onNoAnswer();
    };
  }

  /** The wish that a node begins to answer; a Fault where nobody asked this node. */
  #begin(node: Node, id: string, call: AbortSignal): Wish {
    const wish = this.#wishes.get(id);
    if (wish !== undefined && wish.nodeId !== node.id) {
      throw new Fault("permission-denied", `log subscription ${id} is another node's`);
    }
    if (wish === undefined) throw new Fault("not-found", "nobody reads this log any more");
    if (wish.call !== undefined) {
      this.#remove(wish);
      wish.answer.onBroken();
      throw new Fault("not-found", "this log was being read already, and is asked for anew");
    }
    wish.call = call;
    return wish;
  }

  async #accept(wish: Wish, request: PublishLogsRequest): Promise<void> {
    if (this.#wishes.get(wish.subscription.id) !== wish) {
      throw new Fault("not-found", "nobody reads this log any more");
    }
    const messages = this.#attributed(wish, request.messages);
    if (messages.length > 0) await wish.answer.onMessages(messages);
    if (request.close && this.#remove(wish)) wish.answer.onClose(request.err);
  }

  /** The messages with what the managers know better than their node. */
  #attributed(wish: Wish, messages: readonly LogMessage[]): readonly LogMessage[] {
    const { nodeId, subscription, answer } = wish;
    const foreign = messages.find(({ taskId }) => !subscription.taskIds.includes(taskId));
    if (foreign !== undefined) {
      if (this.#remove(wish)) answer.onClose("sent a log that it was not asked for");
      const text = `the log of task "${foreign.taskId}" was not asked for`;
      throw new Fault("permission-denied", text);
    }
    return messages.map((message) => {
      const serviceId = this.#view.get("task", message.taskId)?.serviceId ?? message.serviceId;
      return { ...message, nodeId, serviceId };
    });
  }

  /** Whether it was there still. */
  #remove(wish: Wish): boolean {
    if (this.#wishes.get(wish.subscription.id) !== wish) return false;
    this.#wishes.delete(wish.subscription.id);
    this.#notify(wish.nodeId);
    return true;
  }

  #wishesOf(nodeId: string): readonly Wish[] {
    return [...this.#wishes.values()].filter((wish) => wish.nodeId === nodeId);
  }

  #notify(nodeId: string): void {
    for (const listener of this.#listeners.get(nodeId) ?? []) listener();
  }
}

/** The items until the signal is aborted: a stream whose peer vanished may say nothing more, not even that it ended. */
async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const { promise: aborted, resolve: abort } = Promise.withResolvers<undefined>();
  const onAbort = () => abort(undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  const iterator = items[Symbol.asyncIterator]();
  try {
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
