/**
 * What one node is sent: its whole set, then the changes to it. Between two messages only the names of changed items are
 * kept, so that a slow node costs names and gets the newest state of each item once, however often it changed. What the
 * node has is not kept: it may be told to drop what it never had, as when an item came and went between two messages.
 *
 * Messages carry their changes in bytes: see change-encoder.ts.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Assignment,
  type AssignmentsResponse,
  AssignmentsResponse_Type as ResponseType,
  AssignmentsResponseSchema,
  type LogSubscription,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock } from "#proto/ports.ts";
import type { AssignmentIndex } from "./assignment-index.ts";
import { Bell } from "./bell.ts";
import { putChanges } from "./change-encoder.ts";
import { assignment, type ItemKey } from "./items.ts";

/** Messages are at least so far apart: what changes meanwhile is gathered. A change after a quiet time goes at once. */
const gatherMs = 4;
/** Some 2 ms of work, here to encode and there to decode: other work has its turn between messages. */
const changesPerMessageMax = 1_000;
/** A message ends with the change that reaches this; gRPC refuses one over 16 MiB as a whole. */
const messageBytes = 4 * 1024 * 1024;
/** Changed items that a node may be behind; a node that is slower starts anew with a complete set. */
const pendingMax = 100_000;

/** The wishes for logs, as the stream needs them. */
export interface LogSubscriptions {
  subscriptionsFor(nodeId: string): readonly LogSubscription[];
  /** Calls the listener after the node's subscriptions have changed. */
  watchSubscriptions(nodeId: string, listener: () => void): Disposable;
}

export interface AssignmentStreamModules {
  readonly index: AssignmentIndex;
  readonly logSubscriptions: LogSubscriptions;
  readonly clock: Clock;
}

/** The messages for a node until the signal is aborted, which throws its reason. */
export async function* streamAssignments(
  nodeId: string,
  modules: AssignmentStreamModules,
  signal: AbortSignal,
): AsyncIterable<AssignmentsResponse> {
  const stream = new AssignmentStream(nodeId, modules);
  using _listening = stream.listen();
  for (const message of stream.complete()) {
    yield message;
    signal.throwIfAborted();
  }
  const { clock } = modules;
  let sentAtMs = clock.monotonic();
  for (;;) {
    await stream.changed(signal);
    await gather(clock, sentAtMs + gatherMs - clock.monotonic(), signal);
    sentAtMs = clock.monotonic();
    for (let message = stream.next(); message !== undefined; message = stream.next()) {
      yield message;
      signal.throwIfAborted();
    }
  }
}

async function gather(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return;
  try {
    await clock.sleep(ms, signal);
  } catch (thrown) {
    // Node's timers reject with an error of their own, which does not say why.
    signal.throwIfAborted();
    throw thrown;
  }
}

class AssignmentStream {
  readonly #nodeId: string;
  readonly #modules: AssignmentStreamModules;
  readonly #bell = new Bell();
  readonly #pending = new Set<ItemKey>();
  /** The wishes for logs that the node was told of: who takes one back does not name it. */
  readonly #logs = new Set<ItemKey>();
  #sequence = 0;
  /** More changed than is noted: what is noted is worth nothing. */
  #behind = false;

  constructor(nodeId: string, modules: AssignmentStreamModules) {
    this.#nodeId = nodeId;
    this.#modules = modules;
  }

  /** Begins to take notes: before the complete set is read, or changes would be lost between the two. */
  listen(): Disposable {
    const { index, logSubscriptions } = this.#modules;
    const scope = new DisposableStack();
    scope.use(index.listen(this.#nodeId, (key) => this.#note(key)));
    scope.use(logSubscriptions.watchSubscriptions(this.#nodeId, () => this.#noteLogs()));
    return scope;
  }

  async changed(signal: AbortSignal): Promise<void> {
    await this.#bell.wait(signal);
  }

  /** The whole set. Each part holds what is so when it is drawn; what changes after that is noted. */
  *complete(): Iterable<AssignmentsResponse> {
    const keys = new Set([...this.#modules.index.keys(this.#nodeId), ...this.#logKeys()]);
    do {
      const message = this.#message(ResponseType.COMPLETE, this.#take(keys));
      message.more = keys.size > 0;
      yield message;
    } while (keys.size > 0);
  }

  /** The next message, or undefined when the node has everything. */
  next(): AssignmentsResponse | undefined {
    if (this.#behind) {
      throw new Fault(
        "resource-exhausted",
        `the node is more than ${pendingMax} changes behind: open a new session`,
      );
    }
    const changes = this.#take(this.#pending);
    return changes.length > 0 ? this.#message(ResponseType.INCREMENTAL, changes) : undefined;
  }

  #note(key: ItemKey): void {
    if (this.#pending.size < pendingMax) this.#pending.add(key);
    else this.#behind ||= !this.#pending.has(key);
    this.#bell.ring();
  }

  #noteLogs(): void {
    for (const key of this.#logKeys()) this.#note(key);
    for (const key of this.#logs) this.#note(key);
  }

  *#logKeys(): Iterable<ItemKey> {
    for (const { id } of this.#modules.logSubscriptions.subscriptionsFor(this.#nodeId)) {
      yield `log:${id}`;
    }
  }

  /** Takes as many keys off as fit into a message, and says what they come to. */
  #take(keys: Set<ItemKey>): Uint8Array[] {
    const changes: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const key of keys) {
      if (changes.length >= changesPerMessageMax || sizeBytes >= messageBytes) break;
      keys.delete(key);
      const change = this.#change(key);
      changes.push(change);
      sizeBytes += change.length;
    }
    return changes;
  }

  #change(key: ItemKey): Uint8Array {
    const { encoder } = this.#modules.index;
    const item = this.#item(key);
    if (item === undefined) {
      this.#logs.delete(key);
      return encoder.removal(key);
    }
    if (key.startsWith("log:")) this.#logs.add(key);
    return encoder.update(item);
  }

  #item(key: ItemKey): Assignment | undefined {
    if (!key.startsWith("log:")) return this.#modules.index.item(this.#nodeId, key);
    const id = key.slice("log:".length);
    const value = this.#modules.logSubscriptions
      .subscriptionsFor(this.#nodeId)
      .find((subscription) => subscription.id === id);
    return value && assignment({ case: "logSubscription", value });
  }

  #message(type: ResponseType, changes: readonly Uint8Array[]): AssignmentsResponse {
    const appliesTo = this.#sequence === 0 ? "" : String(this.#sequence);
    this.#sequence++;
    const message = create(AssignmentsResponseSchema, { type, appliesTo });
    message.resultsIn = String(this.#sequence);
    putChanges(message, changes);
    return message;
  }
}
