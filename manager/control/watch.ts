/**
 * Changes as they are committed. The present state and the subscription are taken in one step, so that a watcher misses
 * nothing and sees nothing twice. The state comes first, as creations; the last message of it is the first to carry a
 * version. A watcher that does not keep up is told so and dropped: it watches again.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { WatchRequest, WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  StoreActionKind,
  StoreActionSchema,
  type StoreObject,
  StoreObjectSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import type { Clock } from "#proto/ports.ts";
import type { Change, Objects } from "../store/objects.ts";
import type { Commit, View } from "../store/store.ts";
import { publicCluster } from "./cluster.ts";
import { withoutData } from "./file-object.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { keyOf, type Present, RecentChanges, undo } from "./recent-changes.ts";
import { publicNode } from "../node.ts";
import { publicService, publicTask } from "../registry-login.ts";

const watchedKinds = ["cluster", "network", "secret", "config", "service", "node", "task"] as const;
type WatchedKind = (typeof watchedKinds)[number];

/** Of a request that names none. */
const kindsDefault: readonly WatchedKind[] = ["network", "service", "node", "task"];

/** Changes that wait for a slow watcher. */
const waitingChangesMax = 20_000;

const messageEventsMax = 1000;

type WatchResponse = MessageInitShape<typeof WatchResponseSchema>;
type WatchEvent = NonNullable<WatchResponse["events"]>[number];

export function watchHandlers({
  store,
  clock,
}: Pick<ControlModules, "store" | "clock">): Pick<ControlHandlers, "watch"> {
  const recent = new RecentChanges(clock);
  recent.follow(store);
  return {
    watch: (request, { signal }) => {
      const interest = new Interest(request);
      const sinceMs = request.since && msFromTimestamp(request.since);
      return watch({ store, clock, recent }, { interest, sinceMs }, signal);
    },
  };
}

function parseKinds(kinds: readonly string[]): ReadonlySet<WatchedKind> {
  if (kinds.length === 0) return new Set(kindsDefault);
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

/** What a watcher is told of. */
class Interest {
  readonly #kinds: ReadonlySet<string>;
  readonly #serviceIds: ReadonlySet<string>;
  readonly #taskIds: ReadonlySet<string>;

  constructor({ kinds, serviceIds, taskIds }: WatchRequest) {
    this.#kinds = parseKinds(kinds);
    this.#serviceIds = new Set(serviceIds);
    this.#taskIds = new Set(taskIds);
  }

  /** Objects of a kind neither change their ID nor, being tasks, their service. */
  includes({ kind, object }: Present): boolean {
    if (!this.#kinds.has(kind)) return false;
    if (kind === "service") return isAmong(this.#serviceIds, object.id);
    if (kind !== "task") return true;
    const { id, serviceId } = object as Objects["task"];
    return isAmong(this.#taskIds, id) && isAmong(this.#serviceIds, serviceId);
  }

  of(changes: readonly Change[]): Change[] {
    return changes.filter(({ kind, before, after }) => {
      const object = after ?? before;
      return object !== undefined && this.includes({ kind, object });
    });
  }

  /** What there is of it now. */
  present(store: View): Present[] {
    return watchedKinds
      .filter((kind) => this.#kinds.has(kind))
      .flatMap((kind) => this.#list(store, kind).map((object): Present => ({ kind, object })))
      .filter((one) => this.includes(one));
  }

  #list(store: View, kind: WatchedKind): readonly Objects[WatchedKind][] {
    if (kind !== "task" || this.#serviceIds.size === 0) return store.list(kind);
    return [...this.#serviceIds].flatMap((id) => store.tasksOfService(id));
  }
}

function isAmong(wanted: ReadonlySet<string>, id: string): boolean {
  return wanted.size === 0 || wanted.has(id);
}

interface Modules extends Pick<ControlModules, "store" | "clock"> {
  readonly recent: RecentChanges;
}

interface Wanted {
  readonly interest: Interest;
  readonly sinceMs: number | undefined;
}

async function* watch(
  { store, clock, recent }: Modules,
  { interest, sinceMs }: Wanted,
  signal: AbortSignal,
): AsyncIterable<WatchResponse> {
  const waiting = new WaitingCommits(interest, signal);
  using _subscription = store.watch((commit) => waiting.push(commit));
  const present = interest.present(store);
  const { index } = store;
  if (sinceMs === undefined) {
    yield* inTurns(messages(present, presentEvent, { version: { index } }), clock);
  } else {
    const { commits, fromMs } = recent.since(sinceMs);
    const wanted = commits.map(({ changes, ...commit }) => ({
      ...commit,
      changes: interest.of(changes),
    }));
    const byKey = new Map(present.map((one) => [keyOf(one.kind, one.object.id), one]));
    const past = [...undo(byKey, wanted).values()];
    const end = { version: { index }, rememberedSince: timestampFromMs(fromMs) };
    yield* inTurns(messages(past, presentEvent, end), clock);
    for (const commit of wanted) yield* changeMessages(commit, commit.atMs);
    // Whoever wants the past alone learns by the time that it is over.
    yield* changeMessages({ index, changes: [] }, clock.now());
  }
  for (;;) {
    const commit = await waiting.next();
    if (commit === undefined) return;
    yield* changeMessages(commit, clock.now());
  }
}

function changeMessages({ index, changes }: Commit, atMs: number): Iterable<WatchResponse> {
  const committedAt = timestampFromMs(atMs);
  return messages(changes, changeEvent, { version: { index }, committedAt });
}

/** Between the messages of a whole state others have their turn: it may be of very many objects. */
async function* inTurns(
  state: Iterable<WatchResponse>,
  clock: Pick<Clock, "sleep">,
): AsyncIterable<WatchResponse> {
  let isFirst = true;
  for (const message of state) {
    if (!isFirst) await clock.sleep(0);
    isFirst = false;
    yield message;
  }
}

/** The commits that a watcher has not taken yet, bounded by the number of their changes. */
class WaitingCommits {
  readonly #interest: Interest;
  readonly #signal: AbortSignal;
  readonly #commits: Commit[] = [];
  #changeCount = 0;
  #overflowed = false;
  #wake: (() => void) | undefined;

  constructor(interest: Interest, signal: AbortSignal) {
    this.#interest = interest;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  push({ index, changes }: Commit): void {
    const wanted = this.#interest.of(changes);
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

/** Made as they are asked for. `end` is of the last message, but for the time, which is of each. */
function* messages<T>(
  items: readonly T[],
  eventOf: (item: T) => WatchEvent,
  end: WatchResponse,
): Iterable<WatchResponse> {
  const { committedAt } = end;
  let from = 0;
  for (; from + messageEventsMax < items.length; from += messageEventsMax) {
    const events = items.slice(from, from + messageEventsMax).map(eventOf);
    yield { events, ...(committedAt !== undefined && { committedAt }) };
  }
  yield { events: items.slice(from).map(eventOf), ...end };
}

function presentEvent({ kind, object }: Present): WatchEvent {
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
    case "cluster":
      return { case: "cluster", value: publicCluster(object.value) };
    case "secret":
      return { case: "secret", value: withoutData(object.value) };
    case "config":
      return { case: "config", value: withoutData(object.value) };
    default:
      return object;
  }
}
