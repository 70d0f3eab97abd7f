/**
 * What one node is sent: its whole set, then the changes to it. Between two messages only the names of changed items are
 * kept, so that a slow node costs names and gets the newest state of each item once, however often it changed.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Assignment,
  AssignmentChange_Action as ChangeAction,
  type AssignmentChange,
  AssignmentChangeSchema,
  type AssignmentsResponse,
  AssignmentsResponse_Type as ResponseType,
  AssignmentsResponseSchema,
  type LogSubscription,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock } from "#proto/ports.ts";
import type { AssignmentIndex } from "./assignment-index.ts";
import { Bell } from "./bell.ts";
import { assignment, type ItemKey, removalOf } from "./items.ts";

/** How long the first change waits for others. */
const gatherMs = 4;
const changesPerMessageMax = 10_000;
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
  yield stream.complete();
  for (;;) {
    await stream.changed(signal);
    await gather(modules.clock, signal);
    for (let message = stream.next(); message !== undefined; message = stream.next()) {
      yield message;
      signal.throwIfAborted();
    }
  }
}

async function gather(clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(gatherMs, signal);
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
  /** What the node has. */
  readonly #sent = new Set<ItemKey>();
  #sequence = 0;

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
    if (this.#pending.size <= pendingMax) return;
    throw new Fault(
      "resource-exhausted",
      `the node is more than ${pendingMax} changes behind: open a new session`,
    );
  }

  complete(): AssignmentsResponse {
    const keys = [...this.#modules.index.keys(this.#nodeId), ...this.#logKeys()];
    return this.#message(ResponseType.COMPLETE, this.#changes(keys));
  }

  /** The next message, or undefined when the node has everything. */
  next(): AssignmentsResponse | undefined {
    while (this.#pending.size > 0) {
      const keys = [...this.#pending.values().take(changesPerMessageMax)];
      for (const key of keys) this.#pending.delete(key);
      const changes = this.#changes(keys);
      if (changes.length > 0) return this.#message(ResponseType.INCREMENTAL, changes);
    }
    return undefined;
  }

  #note(key: ItemKey): void {
    this.#pending.add(key);
    this.#bell.ring();
  }

  #noteLogs(): void {
    for (const key of this.#logKeys()) this.#note(key);
    for (const key of this.#sent) if (key.startsWith("log:")) this.#note(key);
  }

  *#logKeys(): Iterable<ItemKey> {
    for (const { id } of this.#modules.logSubscriptions.subscriptionsFor(this.#nodeId)) {
      yield `log:${id}`;
    }
  }

  #changes(keys: Iterable<ItemKey>): AssignmentChange[] {
    const changes: AssignmentChange[] = [];
    for (const key of keys) {
      const item = this.#item(key);
      if (item !== undefined) {
        this.#sent.add(key);
        changes.push(changeOf(ChangeAction.UPDATE, item));
      } else if (this.#sent.delete(key)) {
        changes.push(changeOf(ChangeAction.REMOVE, removalOf(key)));
      }
    }
    return changes;
  }

  #item(key: ItemKey): Assignment | undefined {
    if (!key.startsWith("log:")) return this.#modules.index.item(this.#nodeId, key);
    const id = key.slice("log:".length);
    const value = this.#modules.logSubscriptions
      .subscriptionsFor(this.#nodeId)
      .find((subscription) => subscription.id === id);
    return value && assignment({ case: "logSubscription", value });
  }

  #message(type: ResponseType, changes: AssignmentChange[]): AssignmentsResponse {
    const appliesTo = type === ResponseType.COMPLETE ? "" : String(this.#sequence);
    this.#sequence++;
    const message = create(AssignmentsResponseSchema, { type, appliesTo });
    message.resultsIn = String(this.#sequence);
    message.changes = changes;
    return message;
  }
}

function changeOf(action: ChangeAction, item: Assignment): AssignmentChange {
  const change = create(AssignmentChangeSchema, { action });
  change.assignment = item;
  return change;
}
