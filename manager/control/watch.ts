/**
 * Changes as they are committed. The present state and the subscription are taken in one step, so that a watcher misses
 * nothing and sees nothing twice. The state comes first, as creations; the last message of it is the first to carry a
 * version. A watcher that does not keep up is told so and dropped: it watches again.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  StoreActionKind,
  StoreActionSchema,
  type StoreObject,
  StoreObjectSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Change, Objects } from "../store/objects.ts";
import type { Commit, Store } from "../store/store.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { publicNode } from "../node.ts";
import { publicService, publicTask } from "../registry-login.ts";

const watchedKinds = ["network", "service", "node", "task"] as const;
type WatchedKind = (typeof watchedKinds)[number];

/** Changes that wait for a slow watcher. */
const waitingChangesMax = 20_000;

const messageEventsMax = 1000;

type WatchResponse = MessageInitShape<typeof WatchResponseSchema>;
type WatchEvent = NonNullable<WatchResponse["events"]>[number];

export function watchHandlers({
  store,
}: Pick<ControlModules, "store">): Pick<ControlHandlers, "watch"> {
  return {
    watch: (request, { signal }) => watch(store, parseKinds(request.kinds), signal),
  };
}

function parseKinds(kinds: readonly string[]): ReadonlySet<WatchedKind> {
  if (kinds.length === 0) return new Set(watchedKinds);
  const known = new Map<string, WatchedKind>(watchedKinds.map((kind) => [kind, kind]));
  return new Set(
    kinds.map((kind) => {
      const found = known.get(kind);
      if (found !== undefined) return found;
      const message = `Cannot watch kind "${kind}": there are ${watchedKinds.join(", ")}`;
      throw new Fault("invalid-argument", message);
    }),
  );
}

async function* watch(
  store: Store,
  kinds: ReadonlySet<WatchedKind>,
  signal: AbortSignal,
): AsyncIterable<WatchResponse> {
  const waiting = new WaitingCommits(kinds, signal);
  using _subscription = store.watch((commit) => waiting.push(commit));
  const present = watchedKinds
    .filter((kind) => kinds.has(kind))
    .flatMap((kind) => store.list(kind).map((object) => presentEvent(kind, object)));
  yield* messages(present, store.index);
  for (;;) {
    const commit = await waiting.next();
    if (commit === undefined) return;
    yield* messages(commit.changes.map(changeEvent), commit.index);
  }
}

/** The commits that a watcher has not taken yet, bounded by the number of their changes. */
class WaitingCommits {
  readonly #kinds: ReadonlySet<string>;
  readonly #signal: AbortSignal;
  readonly #commits: Commit[] = [];
  #changeCount = 0;
  #overflowed = false;
  #wake: (() => void) | undefined;

  constructor(kinds: ReadonlySet<string>, signal: AbortSignal) {
    this.#kinds = kinds;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  push({ index, changes }: Commit): void {
    const wanted = changes.filter(({ kind }) => this.#kinds.has(kind));
    if (wanted.length === 0 || this.#overflowed) return;
    this.#changeCount += wanted.length;
    if (this.#commits.length > 0 && this.#changeCount > waitingChangesMax) {
      this.#overflowed = true;
      this.#commits.length = 0;
    } else {
      this.#commits.push({ index, changes: wanted });
    }
    this.#wake?.();
  }

  /** The next commit; undefined when the watcher went away. */
  async next(): Promise<Commit | undefined> {
    for (;;) {
      if (this.#signal.aborted) return undefined;
      if (this.#overflowed) {
        const message = `the watcher is more than ${waitingChangesMax} changes behind: watch again`;
        throw new Fault("resource-exhausted", message);
      }
      const commit = this.#commits.shift();
      if (commit !== undefined) {
        this.#changeCount -= commit.changes.length;
        return commit;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}

function* messages(events: readonly WatchEvent[], index: bigint): Iterable<WatchResponse> {
  let from = 0;
  for (; from + messageEventsMax < events.length; from += messageEventsMax) {
    yield { events: events.slice(from, from + messageEventsMax) };
  }
  yield { events: events.slice(from), version: { index } };
}

function presentEvent(kind: WatchedKind, object: Objects[WatchedKind]): WatchEvent {
  return event(StoreActionKind.CREATE, kind, object);
}

function changeEvent({ kind, before, after }: Change): WatchEvent {
  const object = after ?? before;
  if (object === undefined) throw new Fault("internal", "a change has no object");
  if (after === undefined) return event(StoreActionKind.REMOVE, kind, object);
  const action = before === undefined ? StoreActionKind.CREATE : StoreActionKind.UPDATE;
  return event(action, kind, object);
}

function event(action: StoreActionKind, kind: Change["kind"], object: Objects[Change["kind"]]) {
  // The kind and the object come from one change, so they agree.
  const wrapped = { case: kind, value: object } as StoreObject["object"];
  return {
    action: create(StoreActionSchema, {
      kind: action,
      object: create(StoreObjectSchema, { object: shown(wrapped) }),
    }),
  };
}

function shown(object: StoreObject["object"]): StoreObject["object"] {
  switch (object.case) {
    case "node":
      return { case: "node", value: publicNode(object.value) };
    case "service":
      return { case: "service", value: publicService(object.value) };
    case "task":
      return { case: "task", value: publicTask(object.value) };
    default:
      return object;
  }
}
