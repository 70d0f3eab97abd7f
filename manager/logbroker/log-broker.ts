/**
 * Brings tasks' logs from the nodes that have them to who asks. A reader's request becomes uploads, one for each node and
 * again one for tasks that come later; the dispatcher sends them to the nodes as log subscriptions, and the nodes answer
 * each with one call of PublishLogs. Nothing of it is stored: when the manager ends, readers ask again.
 *
 * Invariant: an upload ends exactly once, by the node's own word, or with a warning to the reader that names the node.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  LogMessage,
  SubscribeLogsRequest,
  SubscribeLogsResponse,
} from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type LogSubscription,
  LogSubscriptionSchema,
  type PublishLogsRequest,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { resolve } from "../store/resolve.ts";
import type { Commit, Store, View } from "../store/store.ts";
import { LogBuffer } from "./log-buffer.ts";
import { Upload } from "./upload.ts";

const answerMsDefault = 10_000;

const readersMax = 200;

export interface LogBrokerModules extends Ports {
  readonly store: Store;
}

interface Reader {
  readonly request: SubscribeLogsRequest;
  readonly selects: (task: Task) => boolean;
  readonly buffer: LogBuffer;
  /** Tasks that an upload was made for. */
  readonly taskIds: Set<string>;
  readonly uploads: Set<Upload>;
}

export class LogBroker implements Disposable {
  readonly #answerMs: number;
  readonly #modules: LogBrokerModules;
  readonly #readers = new Set<Reader>();
  readonly #uploads = new Map<string, { readonly upload: Upload; readonly reader: Reader }>();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #watch: Disposable;

  constructor(options: { readonly answerMs?: number }, modules: LogBrokerModules) {
    this.#answerMs = options.answerMs ?? answerMsDefault;
    this.#modules = modules;
    this.#watch = modules.store.watch((commit) => this.#onCommit(commit));
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    for (const reader of this.#readers) this.#drop(reader);
  }

  /** What a node is to answer now. */
  subscriptionsFor(nodeId: string): readonly LogSubscription[] {
    return this.#uploadsOf(nodeId).map(({ wish }) => wish);
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

  /** The logs of a service or task; ends by itself unless it follows a service. */
  async *subscribe(
    request: SubscribeLogsRequest,
    signal: AbortSignal,
  ): AsyncIterable<SubscribeLogsResponse> {
    const { store } = this.#modules;
    if (this.#readers.size >= readersMax) {
      throw new Fault("resource-exhausted", `${readersMax} readers of logs are at work already`);
    }
    const reader: Reader = {
      request,
      selects: selectorOf(store, request),
      buffer: new LogBuffer(),
      taskIds: new Set(),
      uploads: new Set(),
    };
    this.#readers.add(reader);
    try {
      this.#want(reader, store.list("task"));
      this.#endIfDone(reader);
      yield* reader.buffer.read(signal);
    } finally {
      this.#drop(reader);
    }
  }

  /** One call of a node, which answers one upload. */
  async publish(
    node: Node,
    requests: AsyncIterable<PublishLogsRequest>,
    signal: AbortSignal,
  ): Promise<void> {
    // A quiet task has nothing to send for long, but its node calls at once: that is an answer.
    for (const upload of this.#uploadsOf(node.id)) upload.onAnswer();
    let upload: Upload | undefined;
    try {
      for await (const request of untilAborted(requests, signal)) {
        upload ??= this.#uploadOf(node, request.subscriptionId).upload;
        if (request.subscriptionId !== upload.wish.id) {
          throw new Fault("invalid-argument", "one call publishes for one subscription");
        }
        await this.#accept(node, request);
        if (request.close) return;
      }
    } finally {
      if (upload !== undefined) this.#end(upload.wish.id, "stopped sending");
      else for (const silent of this.#uploadsOf(node.id)) silent.expectAnswer();
    }
  }

  /** What a node answers; a Fault where nobody asked this node. */
  #uploadOf(node: Node, id: string): { readonly upload: Upload; readonly reader: Reader } {
    const entry = this.#uploads.get(id);
    if (entry === undefined) throw new Fault("not-found", "nobody reads this log any more");
    if (entry.upload.nodeId === node.id) return entry;
    throw new Fault("permission-denied", `log subscription ${id} is another node's`);
  }

  async #accept(node: Node, request: PublishLogsRequest): Promise<void> {
    const { upload, reader } = this.#uploadOf(node, request.subscriptionId);
    const messages = request.messages.map((message) => this.#attributed(message, upload));
    if (messages.length > 0) await reader.buffer.add(messages);
    if (request.close) this.#end(request.subscriptionId, request.err);
  }

  /** The message with what the managers know better than its node. */
  #attributed(message: LogMessage, { nodeId, wish }: Upload): LogMessage {
    if (!wish.taskIds.includes(message.taskId)) {
      const text = `the log of task "${message.taskId}" was not asked for`;
      throw new Fault("permission-denied", text);
    }
    const serviceId = this.#modules.store.get("task", message.taskId)?.serviceId;
    return { ...message, nodeId, serviceId: serviceId ?? message.serviceId };
  }

  #onCommit({ changes }: Commit): void {
    if (this.#readers.size === 0) return;
    const tasks: Task[] = [];
    for (const change of changes) {
      if (change.kind === "task" && change.after !== undefined) tasks.push(change.after);
      if (change.kind === "node" && change.before !== undefined && isDown(change.after)) {
        for (const { wish } of this.#uploadsOf(change.before.id)) this.#end(wish.id, "is down");
      }
    }
    for (const reader of this.#readers) {
      if (reader.request.options?.follow) this.#want(reader, tasks);
    }
  }

  /** Asks the nodes for the logs of those tasks that the reader selects and has not got yet. */
  #want(reader: Reader, tasks: readonly Task[]): void {
    const wanted = tasks.filter(
      (task) => task.nodeId !== "" && !reader.taskIds.has(task.id) && reader.selects(task),
    );
    for (const [nodeId, ofNode] of Map.groupBy(wanted, (task) => task.nodeId)) {
      for (const { id } of ofNode) reader.taskIds.add(id);
      if (isDown(this.#modules.store.get("node", nodeId))) {
        reader.buffer.warn(this.#warning(nodeId, "is down"));
      } else {
        this.#begin(reader, nodeId, ofNode);
      }
    }
  }

  #begin(reader: Reader, nodeId: string, tasks: readonly Task[]): void {
    const { options } = reader.request;
    const id = newId(this.#modules.random);
    const wish = create(LogSubscriptionSchema, {
      id,
      taskIds: tasks.map((task) => task.id),
      ...(options === undefined ? {} : { options }),
    });
    const silence = `did not answer within ${this.#answerMs / 1000} s`;
    const upload = new Upload(
      { nodeId, wish, answerMs: this.#answerMs },
      { clock: this.#modules.clock, onSilence: () => this.#end(id, silence) },
    );
    reader.uploads.add(upload);
    this.#uploads.set(id, { upload, reader });
    this.#notify(nodeId);
  }

  /** Ends an upload, if it has not ended; `problem` says what its node did wrong, if anything. */
  #end(id: string, problem: string): void {
    const entry = this.#uploads.get(id);
    if (entry === undefined) return;
    const { upload, reader } = entry;
    if (problem !== "") reader.buffer.warn(this.#warning(upload.nodeId, problem));
    this.#forget(reader, upload);
    this.#endIfDone(reader);
  }

  #endIfDone({ request, uploads, buffer }: Reader): void {
    const moreMayCome = request.options?.follow === true && request.taskRef === "";
    if (uploads.size === 0 && !moreMayCome) buffer.end();
  }

  #drop(reader: Reader): void {
    this.#readers.delete(reader);
    reader.buffer[Symbol.dispose]();
    for (const upload of reader.uploads) this.#forget(reader, upload);
  }

  #forget(reader: Reader, upload: Upload): void {
    upload.onAnswer();
    reader.uploads.delete(upload);
    this.#uploads.delete(upload.wish.id);
    this.#notify(upload.nodeId);
  }

  #uploadsOf(nodeId: string): readonly Upload[] {
    return [...this.#uploads.values()]
      .map(({ upload }) => upload)
      .filter((upload) => upload.nodeId === nodeId);
  }

  #notify(nodeId: string): void {
    for (const listener of this.#listeners.get(nodeId) ?? []) listener();
  }

  #warning(nodeId: string, problem: string): string {
    const hostname = this.#modules.store.get("node", nodeId)?.description?.hostname;
    return `incomplete log stream: node "${hostname ?? nodeId}" ${problem}`;
  }
}

function isDown(node: Node | undefined): boolean {
  return node === undefined || node.status?.state === NodeState.DOWN;
}

function selectorOf(view: View, request: SubscribeLogsRequest): (task: Task) => boolean {
  const { serviceRef, taskRef } = request;
  if ((serviceRef === "") === (taskRef === "")) {
    throw new Fault("invalid-argument", "name either a service or a task");
  }
  if (taskRef !== "") {
    const { id } = resolve(view, "task", taskRef);
    return (task) => task.id === id;
  }
  const { id } = resolve(view, "service", serviceRef);
  return (task) => task.serviceId === id;
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
