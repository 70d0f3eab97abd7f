/**
 * Brings tasks' logs from the nodes that have them to who asks. A reader's request becomes uploads, one for each node and
 * again one for tasks that come later. Each is asked of the manager that holds the node's session, which may be this one;
 * when the node goes to another manager, its upload goes after it and on behind the last line. Nothing of it is stored:
 * when the reader's manager ends, readers ask again.
 *
 * Invariant: an upload ends exactly once, by the node's own word, or with a warning to the reader that names the node.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type LogMessage,
  type SubscribeLogsRequest,
  type SubscribeLogsResponse,
  SubscribeLogsResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { LogSubscription, PublishLogsRequest } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type {
  PeerService,
  RelayLogsRequest,
  RelayLogsResponse,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Ports } from "#proto/ports.ts";
import { resolve } from "../store/resolve.ts";
import type { Commit, Store, View } from "../store/store.ts";
import { isAccepted, isWanted } from "../task.ts";
import { LogQueue, sizeOfLines } from "./log-queue.ts";
import { askRelay, serveRelay } from "./relay.ts";
import { Upload } from "./upload.ts";
import { Wishes } from "./wishes.ts";

const answerMsDefault = 10_000;

const readersMax = 200;

export interface LogBrokerOptions {
  /** This manager's node. */
  readonly nodeId: string;
  /** How long a node may take to answer. */
  readonly answerMs?: number;
}

export interface LogBrokerModules extends Ports {
  readonly store: Store;
  /** The manager that is this node; throws "unavailable" where there is none. */
  readonly manager: (nodeId: string) => Client<typeof PeerService>;
}

/** Whose logs a reader wants. */
interface Selector {
  readonly selects: (task: Task) => boolean;
  /** Whether who follows may yet get another task's. */
  readonly moreMayCome: () => boolean;
}

interface Reader extends Selector {
  readonly request: SubscribeLogsRequest;
  /** Lines, and warnings. */
  readonly queue: LogQueue<LogMessage | string>;
  /** Tasks that an upload was made for. */
  readonly taskIds: Set<string>;
  readonly uploads: Set<Upload>;
}

export class LogBroker implements Disposable {
  readonly #options: LogBrokerOptions;
  readonly #modules: LogBrokerModules;
  readonly #wishes: Wishes;
  readonly #readers = new Set<Reader>();
  readonly #watch: Disposable;

  constructor(options: LogBrokerOptions, modules: LogBrokerModules) {
    this.#options = options;
    this.#modules = modules;
    this.#wishes = new Wishes(modules.store);
    this.#watch = modules.store.watch((commit) => this.#onCommit(commit));
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    for (const reader of this.#readers) this.#drop(reader);
  }

  /** What a node is to answer now. */
  subscriptionsFor(nodeId: string): readonly LogSubscription[] {
    return this.#wishes.subscriptionsFor(nodeId);
  }

  /** Calls the listener after the node's subscriptions have changed. */
  watchSubscriptions(nodeId: string, listener: () => void): Disposable {
    return this.#wishes.watchSubscriptions(nodeId, listener);
  }

  /** One call of a node, which answers one subscription. */
  async publish(
    node: Node,
    requests: AsyncIterable<PublishLogsRequest>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#wishes.publish(node, requests, signal);
  }

  /** The logs of one node's tasks for a reader at another manager. */
  relay(request: RelayLogsRequest, signal: AbortSignal): AsyncIterable<RelayLogsResponse> {
    return serveRelay(request, this.#wishes, signal);
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
      ...selectorOf(store, request),
      queue: new LogQueue(),
      taskIds: new Set(),
      uploads: new Set(),
    };
    this.#readers.add(reader);
    try {
      this.#want(reader, store.list("task"));
      this.#endIfDone(reader);
      for await (const items of reader.queue.read(signal)) yield responseOf(items);
    } finally {
      this.#drop(reader);
    }
  }

  #onCommit({ changes }: Commit): void {
    if (this.#readers.size === 0) return;
    const tasks: Task[] = [];
    for (const change of changes) {
      if (change.kind === "task" && change.after !== undefined) tasks.push(change.after);
      if (change.kind === "node") this.#onNode(change.before, change.after);
    }
    for (const reader of this.#readers) {
      if (!reader.request.options?.follow) continue;
      this.#want(reader, tasks);
      this.#endIfDone(reader);
    }
  }

  #onNode(before: Node | undefined, after: Node | undefined): void {
    for (const upload of this.#uploadsOf(before?.id ?? "")) {
      if (after === undefined) upload.end("is not in the cluster any more");
      else if (isDown(after)) upload.onDown();
      else upload.onNode();
    }
  }

  /**
   * Asks the nodes for the logs of those tasks that the reader selects and has not got yet. A task that its node has not
   * accepted has no log, and the wish for it could reach the node before the task does, which would not know it.
   */
  #want(reader: Reader, tasks: readonly Task[]): void {
    const wanted = tasks.filter(
      (task) => isAccepted(task) && !reader.taskIds.has(task.id) && reader.selects(task),
    );
    for (const [nodeId, ofNode] of Map.groupBy(wanted, (task) => task.nodeId)) {
      const taskIds = ofNode.map(({ id }) => id);
      for (const id of taskIds) reader.taskIds.add(id);
      const node = this.#modules.store.get("node", nodeId);
      const mayComeBack = node !== undefined && reader.request.options?.follow === true;
      if (isDown(node) && !mayComeBack) reader.queue.put(this.#warning(nodeId, "is down"));
      else this.#begin(reader, nodeId, taskIds);
    }
  }

  #begin(reader: Reader, nodeId: string, taskIds: readonly string[]): void {
    const { options } = reader.request;
    const { answerMs = answerMsDefault } = this.#options;
    const upload = new Upload(
      { nodeId, taskIds, options, answerMs },
      {
        ...this.#modules,
        placeOf: () => {
          const node = this.#modules.store.get("node", nodeId);
          return { sessionId: node?.sessionId ?? "", managerId: node?.sessionManagerId ?? "" };
        },
        ask: ({ managerId }, subscription, answer) =>
          // Without a session yet, the node's first one will be heard of here.
          managerId === "" || managerId === this.#options.nodeId
            ? this.#wishes.open(nodeId, subscription, answer)
            : askRelay(() => this.#modules.manager(managerId), { nodeId, subscription }, answer),
        onMessages: async (messages) => {
          await reader.queue.add(messages, sizeOfLines(messages));
        },
        onPause: (problem) => reader.queue.put(this.#warning(nodeId, problem)),
        onEnd: (problem) => {
          if (problem !== "") reader.queue.put(this.#warning(nodeId, problem));
          reader.uploads.delete(upload);
          this.#endIfDone(reader);
        },
      },
    );
    reader.uploads.add(upload);
    if (isDown(this.#modules.store.get("node", nodeId))) upload.onDown();
    else upload.begin();
  }

  #endIfDone({ request, uploads, queue, moreMayCome }: Reader): void {
    const waits = request.options?.follow === true && moreMayCome();
    if (uploads.size === 0 && !waits) queue.end();
  }

  #drop(reader: Reader): void {
    this.#readers.delete(reader);
    reader.queue[Symbol.dispose]();
    for (const upload of reader.uploads) upload[Symbol.dispose]();
  }

  #uploadsOf(nodeId: string): readonly Upload[] {
    return [...this.#readers].flatMap(({ uploads }) =>
      [...uploads].filter((upload) => upload.nodeId === nodeId),
    );
  }

  #warning(nodeId: string, problem: string): string {
    const hostname = this.#modules.store.get("node", nodeId)?.description?.hostname;
    return `incomplete log stream: node "${hostname ?? nodeId}" ${problem}`;
  }
}

function responseOf(items: readonly (LogMessage | string)[]): SubscribeLogsResponse {
  return create(SubscribeLogsResponseSchema, {
    messages: items.filter((item) => typeof item !== "string"),
    warnings: items.filter((item) => typeof item === "string"),
  });
}

function isDown(node: Node | undefined): boolean {
  return node === undefined || node.status?.state === NodeState.DOWN;
}

function selectorOf(view: View, request: SubscribeLogsRequest): Selector {
  const { serviceRef, taskRef } = request;
  if ((serviceRef === "") === (taskRef === "")) {
    throw new Fault("invalid-argument", "name either a service or a task");
  }
  if (taskRef !== "") {
    const { id } = resolve(view, "task", taskRef);
    const moreMayCome = () => {
      const task = view.get("task", id);
      return task !== undefined && !isAccepted(task) && isWanted(task);
    };
    return { selects: (task) => task.id === id, moreMayCome };
  }
  const { id } = resolve(view, "service", serviceRef);
  return { selects: (task) => task.serviceId === id, moreMayCome: () => true };
}
