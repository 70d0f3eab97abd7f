/**
 * The cluster's objects, in memory. Reads are immediate and see only what is committed; writes are transactions that go
 * through the log and are applied, all or nothing, when they come out of it. Applying uses nothing but the entry and the
 * present state, so that every manager arrives at the same state: IDs and times are made before proposing.
 *
 * Objects are never changed in place: what a reader holds stays as it was.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type StoreAction,
  StoreActionKind,
  StoreActionSchema,
  type StoreObject,
  StoreObjectSchema,
  StoreTransactionSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Meta, MetaSchema, VersionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { version } from "#proto/version.ts";
import type { Log, LogEntry, Rejection, StateMachine } from "./log.ts";
import { type Action, type Change, type Kind, kinds, nouns, type Objects } from "./objects.ts";
import { Table } from "./table.ts";

/** How often a transaction is built anew when others changed what it had read. */
const writeAttemptsMax = 10;

/** What a part of a large plan may come to: a fraction of what the log takes at once, so that nothing waits long for it. */
const partBytes = 4 * 1024 * 1024;
/** Fewer are one part without being measured: the largest objects have 1 MiB, and the log takes 16 MiB at once. */
const partActionsMin = 12;

export interface Commit {
  readonly index: bigint;
  readonly changes: readonly Change[];
}

/** Reading. What the pure planners take. */
export interface View {
  get<K extends Kind>(kind: K, id: string): Objects[K] | undefined;
  byName<K extends Kind>(kind: K, name: string): Objects[K] | undefined;
  list<K extends Kind>(kind: K): readonly Objects[K][];
  tasksOfService(serviceId: string): readonly Objects["task"][];
  tasksOfNode(nodeId: string): readonly Objects["task"][];
}

type Tables = { readonly [K in Kind]: Table<K> };

export class Store implements View, StateMachine {
  #tables = emptyTables();
  readonly #listeners = new Set<(commit: Commit) => void>();
  readonly #clock: Clock;
  #log: Log | undefined;
  #index = 0n;

  constructor(modules: { clock: Clock }) {
    this.#clock = modules.clock;
  }

  /** The log that writes go through. Set once, after the log has replayed what it holds into this store. */
  attach(log: Log): void {
    this.#log = log;
  }

  /** The index of the newest entry that this state comes from. */
  get index(): bigint {
    return this.#index;
  }

  get<K extends Kind>(kind: K, id: string): Objects[K] | undefined {
    return this.#tables[kind].get(id);
  }

  byName<K extends Kind>(kind: K, name: string): Objects[K] | undefined {
    return this.#tables[kind].byName(name);
  }

  list<K extends Kind>(kind: K): readonly Objects[K][] {
    return this.#tables[kind].list();
  }

  tasksOfService(serviceId: string): readonly Objects["task"][] {
    return this.#tables.task.by("service", serviceId);
  }

  tasksOfNode(nodeId: string): readonly Objects["task"][] {
    return this.#tables.task.by("node", nodeId);
  }

  /** Calls the listener for each commit, in order, synchronously: it must not throw and should only take notes. */
  watch(listener: (commit: Commit) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * Proposes what `build` makes of the present state, and again when that was outdated on arrival. `build` may throw
   * Faults of its own; an empty list writes nothing. Resolves when the changes are durable and visible.
   */
  async write(build: (view: View) => readonly Action[]): Promise<void> {
    if (this.#log === undefined) throw new Fault("unavailable", "the store is not open yet");
    for (let attempt = 1; ; attempt++) {
      const actions = build(this);
      if (actions.length === 0) return;
      const rejection = await this.#log.propose(this.#encode(actions));
      if (rejection === undefined) return;
      if (rejection.code !== "conflict" || attempt === writeAttemptsMax) throw rejection;
    }
  }

  /**
   * As `write`, for plans of any size: one that is too large for a transaction is written in parts, each planned anew on
   * top of the part before. Only for plans whose actions hold without one another.
   */
  async writeInParts(build: (view: View) => readonly Action[]): Promise<void> {
    for (;;) {
      let whole = true;
      await this.write((view) => {
        const actions = build(view);
        const part = firstPart(actions);
        whole = part.length === actions.length;
        return part;
      });
      if (whole) return;
    }
  }

  apply(entry: LogEntry): Rejection {
    this.#index = entry.index;
    const transaction = fromBinary(StoreTransactionSchema, entry.data);
    // Leaving it out would make this state another one than that of newer managers.
    if (transaction.actions.some(isOfNewerVersion))
      throw newerVersion(`entry ${entry.index} of the log`);
    const changes: Change[] = [];
    const staged = new Map<string, Change>();
    for (const action of transaction.actions) {
      const outcome = this.#stage(action, staged);
      if (outcome instanceof Fault) return outcome;
      staged.set(`${outcome.kind}/${(outcome.after ?? outcome.before)?.id}`, outcome);
      stamp(outcome, entry.index, transaction.proposedAt);
      changes.push(outcome);
    }
    for (const change of changes) this.#commit(change);
    for (const listener of this.#listeners) listener({ index: entry.index, changes });
    return undefined;
  }

  snapshot(): Iterable<Uint8Array> {
    // Objects never change, so holding them now is a copy of the state; encoding may wait.
    const held = kinds.map((kind) => [kind, this.list(kind)] as const);
    return encodeAll(held);
  }

  async restore(
    index: bigint,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const tables = emptyTables();
    const changes: Change[] = [];
    for await (const piece of pieces) {
      const { kind, object } = unwrap(fromBinary(StoreObjectSchema, piece));
      tableOf(tables, kind).put(object);
      const before = this.get(kind, object.id);
      const same = before?.meta?.version?.index === object.meta?.version?.index;
      if (before !== undefined && same) continue;
      changes.push({ kind, before, after: object } as Change);
    }
    for (const kind of kinds) {
      const gone = this.list(kind).filter(({ id }) => tables[kind].get(id) === undefined);
      for (const object of gone) changes.push(changeOf(kind, object, undefined));
    }
    this.#index = index;
    this.#tables = tables;
    for (const listener of this.#listeners) listener({ index, changes });
  }

  #encode(actions: readonly Action[]): Uint8Array {
    const transaction = create(StoreTransactionSchema, {
      proposedAt: timestampFromMs(this.#clock.now()),
      actions: actions.map(storeAction),
    });
    return toBinary(StoreTransactionSchema, transaction);
  }

  /** The change that an action makes on top of those staged before it in the same transaction, or why it may not. */
  #stage(action: StoreAction, staged: ReadonlyMap<string, Change>): Change | Fault {
    if (action.object === undefined) return new Fault("internal", "the action has no object");
    const { kind, object } = unwrap(action.object);
    const earlier = staged.get(`${kind}/${object.id}`);
    const before =
      earlier === undefined ? tableOf(this.#tables, kind).get(object.id) : earlier.after;
    switch (action.kind) {
      case StoreActionKind.CREATE: {
        if (before !== undefined) return new Fault("already-exists", `${kind} ${object.id} exists`);
        return this.#nameClash(kind, object, staged) ?? changeOf(kind, undefined, object);
      }
      case StoreActionKind.UPDATE: {
        const stale = staleness(kind, object, before);
        if (stale !== undefined) return stale;
        return this.#nameClash(kind, object, staged) ?? changeOf(kind, before, object);
      }
      case StoreActionKind.REMOVE:
        return staleness(kind, object, before) ?? changeOf(kind, before, undefined);
      default:
        return new Fault("internal", `unknown kind of action ${action.kind}`);
    }
  }

  #nameClash(
    kind: Kind,
    object: Objects[Kind],
    staged: ReadonlyMap<string, Change>,
  ): Fault | undefined {
    const table = tableOf(this.#tables, kind);
    const name = table.uniqueName(object);
    if (name === undefined) return undefined;
    const holds = (other: Objects[Kind] | undefined) =>
      other !== undefined && other.id !== object.id && table.uniqueName(other) === name;
    // What this transaction has changed already counts as it will be.
    const stored = table.byName(name);
    const storedChange = stored && staged.get(`${kind}/${stored.id}`);
    const clash =
      holds(storedChange === undefined ? stored : storedChange.after) ||
      [...staged.values()].some((change) => change.kind === kind && holds(change.after));
    if (!clash) return undefined;
    // Nobody asked for just this number: whoever chose it chooses again.
    if (kind === "node") return new Fault("conflict", `the ${name} was given away meanwhile`);
    return new Fault("already-exists", `the ${kind} name "${name}" is taken`);
  }

  #commit(change: Change): void {
    const table = tableOf(this.#tables, change.kind);
    if (change.after !== undefined) table.put(change.after);
    else if (change.before !== undefined) table.remove(change.before.id);
  }
}

function emptyTables(): Tables {
  return {
    cluster: new Table(nouns.cluster),
    node: new Table(nouns.node),
    service: new Table(nouns.service),
    task: new Table(nouns.task),
    network: new Table(nouns.network),
    secret: new Table(nouns.secret),
    config: new Table(nouns.config),
    volume: new Table(nouns.volume),
  };
}

/** The table of a kind that is only known at run time. */
function tableOf(tables: Tables, kind: Kind): Table<Kind> {
  return tables[kind] as unknown as Table<Kind>;
}

const actionKinds = {
  create: StoreActionKind.CREATE,
  update: StoreActionKind.UPDATE,
  remove: StoreActionKind.REMOVE,
} as const;

function storeAction({ action, kind, object }: Action): StoreAction {
  return create(StoreActionSchema, { kind: actionKinds[action], object: wrap(kind, object) });
}

/** As many of the first actions as make a transaction of a good size; at least one. */
function firstPart(actions: readonly Action[]): readonly Action[] {
  if (actions.length <= partActionsMin) return actions;
  let sizeBytes = 0;
  const end = actions.findIndex((action) => {
    sizeBytes += toBinary(StoreActionSchema, storeAction(action)).length;
    return sizeBytes > partBytes;
  });
  return end < 0 ? actions : actions.slice(0, Math.max(end, 1));
}

function staleness(
  kind: Kind,
  object: Objects[Kind],
  before: Objects[Kind] | undefined,
): Fault | undefined {
  if (before === undefined)
    return new Fault("conflict", `${kind} ${object.id} does not exist any more`);
  if (before.meta?.version?.index === object.meta?.version?.index) return undefined;
  return new Fault("conflict", `${kind} ${object.id} was changed meanwhile: read it again`);
}

function changeOf(
  kind: Kind,
  before: Objects[Kind] | undefined,
  after: Objects[Kind] | undefined,
): Change {
  // The kinds of the three agree: they come out of one StoreObject and the table of its kind.
  return { kind, before, after: after && { ...after } } as Change;
}

/** Writes the entry's index and time into a changed object, which is ours alone until it is committed. */
function stamp(change: Change, index: bigint, at: Meta["updatedAt"]): void {
  if (change.after === undefined) return;
  change.after.meta = create(MetaSchema, {
    version: create(VersionSchema, { index }),
    createdAt: change.before?.meta?.createdAt ?? at,
    updatedAt: at,
  });
}

function* encodeAll(
  held: readonly (readonly [Kind, readonly Objects[Kind][]])[],
): Iterable<Uint8Array> {
  for (const [kind, objects] of held) {
    for (const object of objects) yield toBinary(StoreObjectSchema, wrap(kind, object));
  }
}

function wrap(kind: Kind, object: Objects[Kind]): StoreObject {
  return create(StoreObjectSchema, {
    object: { case: kind, value: object } as StoreObject["object"],
  });
}

const knownActions: ReadonlySet<number> = new Set(Object.values(StoreActionKind));

function isOfNewerVersion({ kind, object }: StoreAction): boolean {
  return !knownActions.has(kind) || (object !== undefined && isNewerObject(object));
}

function isNewerObject({ object, $unknown = [] }: StoreObject): boolean {
  return object.case === undefined && $unknown.length > 0;
}

function newerVersion(where: string): Fault {
  const text = `${where} is of a newer version than this manager (${version}): install that version here`;
  return new Fault("failed-precondition", text);
}

function unwrap(wrapped: StoreObject): { kind: Kind; object: Objects[Kind] } {
  const { object } = wrapped;
  if (isNewerObject(wrapped)) throw newerVersion("an object of the snapshot");
  if (object.case === undefined) throw new Fault("data-loss", "a log entry names no object");
  return { kind: object.case, object: object.value };
}
