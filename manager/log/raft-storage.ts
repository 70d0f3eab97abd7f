/**
 * What one server keeps of the replicated log: hard state, entries, snapshots, in an encrypted SQLite file that a thread
 * of its own writes, so that waiting for the disk never stops the event loop. One transaction is in flight; everything
 * persisted meanwhile goes down in the next, with one fsync for all.
 *
 * Invariant: persists reach the file in the order of the calls. One that fails takes those with it that were called
 * before it settled, so that none overtakes it: the caller does all of them again, in order.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { Durable, Entry, Membership, Persist, SnapshotMeta } from "../raft/contract.ts";
import { chunkBytesMin, encodeChunk, parseChunk } from "./chunk.ts";
import { isLocked, type KeyEncryption } from "./data-key.ts";
import { packEntries, unpackEntries } from "./entry-pack.ts";
import type { Life, LogHead, LogPlace, PersistStep } from "./log-messages.ts";
import { LogThread } from "./log-thread.ts";

export { isLocked, type KeyEncryption };

/** How much of a snapshot is encoded at a stretch. */
const stretchMs = 2;

export interface RaftStorage extends AsyncDisposable {
  /** Names one life of the log. */
  readonly group: string;
  /** This server's in that life. */
  readonly serverId: number;
  /** As found when it was opened. */
  readonly durable: Durable;
  /** The newest whole snapshot, whether written here or received. */
  snapshotPieces(): AsyncIterable<Uint8Array>;
  /** Durable when resolved. "resource-exhausted": the disk is full, nothing was written, the same may succeed later. */
  persist(persist: Persist): Promise<void>;
  /**
   * Goes on beside persists; one at a time. When it resolves, it or one that covers more is the newest snapshot; the one
   * before stays readable for whoever is being sent it. Drops no entry.
   */
  writeSnapshot(
    meta: SnapshotMeta,
    pieces: Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>;
  /** How many snapshots stay behind the newest, the one before it counted. */
  keepSnapshots(count: number): Promise<void>;
  /** Drops entries that the core does not keep any more, in slices; the newest snapshot must cover them. */
  dropEntries(upTo: number): Promise<void>;
  /** Undefined where the snapshot of this index is gone, or never had this chunk. */
  readChunk(
    index: number,
    chunk: number,
  ): Promise<{ readonly data: Uint8Array; readonly last: boolean } | undefined>;
  /** Wraps the data key anew. Whenever the host stops, the file opens with the old way or the new one. */
  rekey(keyEncryption: KeyEncryption): Promise<void>;
  /** Resolves when what is on disk is in doubt: end the process. */
  readonly failed: Promise<Fault>;
}

interface StoragePorts {
  readonly clock: Clock;
}

/** "failed-precondition" where the unlock key is missing or another (`isLocked`), "not-found" where there is no file. */
export async function openStorage(
  { path, keyEncryption }: LogPlace,
  ports: StoragePorts,
): Promise<RaftStorage> {
  return withThread((thread) => open(thread, { path, keyEncryption }, ports));
}

type NewStorage = LogPlace &
  Life & {
    /** Where the life begins: index 0 for an empty log. */
    readonly snapshot: SnapshotMeta;
    readonly pieces?: Iterable<Uint8Array>;
  };

/** Makes the file, all at once: after a crash on the way there is none. "already-exists" where there is one. */
export async function createStorage(
  { path, keyEncryption, group, serverId, snapshot, pieces = [] }: NewStorage,
  ports: StoragePorts,
): Promise<RaftStorage> {
  return withThread(async (thread) => {
    const life = { group, serverId };
    await thread.request<"create">({ kind: "create", path, keyEncryption, life, snapshot });
    await writeSnapshot({ thread, ...ports }, snapshot, pieces, new AbortController().signal);
    await thread.request<"publish">({ kind: "publish" });
    return open(thread, { path, keyEncryption }, ports);
  });
}

type RenewedStorage = LogPlace &
  Life & {
    /** What `Member.context` says of this server. */
    readonly context: string;
  };

/**
 * Begins a new life with all that the file holds, for a manager that goes on alone: this server becomes the only member,
 * all others are removed. No entry is dropped, since the ones that were not known to be committed may have been.
 */
export async function renewStorage(
  { path, keyEncryption, group, serverId, context }: RenewedStorage,
  ports: StoragePorts,
): Promise<RaftStorage> {
  return withThread(async (thread) => {
    const { durable } = await open(thread, { path, keyEncryption }, ports);
    const { members, removed } = latestMembership(durable);
    const membership = {
      members: [{ id: serverId, voter: true, context }],
      removed: [...new Set([...removed, ...members.map(({ id }) => id)])],
    };
    await thread.request<"renew">({ kind: "renew", life: { group, serverId }, membership });
    await thread.request<"close">({ kind: "close" });
    return open(thread, { path, keyEncryption }, ports);
  });
}

interface Waiting {
  readonly persist: Persist;
  readonly resolve: () => void;
  readonly reject: (fault: Fault) => void;
}

class SqliteStorage implements RaftStorage {
  readonly group: string;
  readonly serverId: number;
  readonly durable: Durable;
  readonly #thread: LogThread;
  readonly #clock: Clock;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #snapshotIndex: number;
  #writing: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(
    { group, serverId, durable }: Life & { durable: Durable },
    modules: { thread: LogThread; clock: Clock },
  ) {
    this.group = group;
    this.serverId = serverId;
    this.durable = durable;
    this.#thread = modules.thread;
    this.#clock = modules.clock;
    this.#snapshotIndex = durable.snapshot.index;
  }

  get failed(): Promise<Fault> {
    return this.#thread.failed;
  }

  async *snapshotPieces(): AsyncGenerator<Uint8Array> {
    const index = this.#snapshotIndex;
    for (let number = 0; ; number++) {
      const chunk = await this.readChunk(index, number);
      if (chunk === undefined) {
        throw new Fault("conflict", `snapshot ${index} gave way to newer ones while it was read`);
      }
      yield* parseChunk(chunk.data);
      if (chunk.last) return;
    }
  }

  async persist(persist: Persist): Promise<void> {
    this.#checkOpen();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ persist, resolve, reject });
    this.#flushing ??= this.#flush();
    return promise;
  }

  async writeSnapshot(
    meta: SnapshotMeta,
    pieces: Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    this.#checkOpen();
    const modules = { thread: this.#thread, clock: this.#clock };
    const either = AbortSignal.any([signal, this.#closing.signal]);
    const writing = writeSnapshot(modules, meta, pieces, either);
    this.#writing = writing.catch(() => {});
    await writing;
    this.#snapshotIndex = Math.max(this.#snapshotIndex, meta.index);
  }

  async keepSnapshots(count: number): Promise<void> {
    this.#checkOpen();
    await this.#thread.request<"keep-snapshots">({ kind: "keep-snapshots", count });
  }

  async dropEntries(upTo: number): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const { more } = await this.#thread.request<"drop-entries">({ kind: "drop-entries", upTo });
      if (!more) return;
    }
  }

  async readChunk(index: number, chunk: number) {
    this.#checkOpen();
    return this.#thread.request<"read-chunk">({ kind: "read-chunk", index, chunk });
  }

  async rekey(keyEncryption: KeyEncryption): Promise<void> {
    this.#checkOpen();
    await this.#thread.request<"rekey">({ kind: "rekey", keyEncryption });
  }

  /** Writes what was given to persist, then closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(closedFault());
    await this.#flushing;
    await this.#writing;
    await this.#thread[Symbol.asyncDispose]();
  }

  #checkOpen(): void {
    this.#closing.signal.throwIfAborted();
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const steps = batch.map(({ persist }) => stepOf(persist));
      try {
        await this.#thread.request<"persist">({ kind: "persist", steps });
      } catch (thrown) {
        const fault = Fault.from(thrown);
        for (const { reject } of [...batch, ...this.#waiting.splice(0)]) reject(fault);
        continue;
      }
      for (const { persist, resolve } of batch) {
        if (persist.install !== undefined) this.#snapshotIndex = persist.install.index;
        resolve();
      }
      if (batch.some(({ persist }) => persist.install !== undefined))
        await dropChunks(this.#thread);
    }
    this.#flushing = undefined;
  }
}

function closedFault(): Fault {
  return new Fault("unavailable", "the log is closed");
}

async function withThread<T>(use: (thread: LogThread) => Promise<T>): Promise<T> {
  const thread = new LogThread();
  try {
    return await use(thread);
  } catch (thrown) {
    await thread[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function open(
  thread: LogThread,
  place: LogPlace,
  { clock }: StoragePorts,
): Promise<RaftStorage> {
  const head = await thread.request<"open">({ kind: "open", ...place });
  const { group, serverId, hardState, snapshot } = head;
  const durable = { hardState, snapshot, entries: await readEntries(thread, head) };
  return new SqliteStorage({ group, serverId, durable }, { thread, clock });
}

async function readEntries(
  thread: LogThread,
  { firstIndex, lastIndex }: LogHead,
): Promise<Entry[]> {
  const slices: Entry[][] = [];
  for (let after = firstIndex - 1; after < lastIndex; ) {
    const slice = unpackEntries(
      await thread.request<"read-entries">({ kind: "read-entries", after }),
    );
    slices.push(slice);
    after += slice.length;
  }
  return slices.flat();
}

function latestMembership({ snapshot, entries }: Durable): Membership {
  const latest = entries.findLast((entry) => entry.kind === "membership");
  return latest?.membership ?? snapshot.membership;
}

function stepOf({ chunk, install, hardState, entries }: Persist): PersistStep {
  return {
    // The thread gets memory of its own: the caller's is needed again where the disk is full.
    ...(chunk !== undefined && { chunk: { ...chunk, data: Uint8Array.from(chunk.data) } }),
    ...(install !== undefined && { install }),
    ...(hardState !== undefined && { hardState }),
    ...(entries.length > 0 && { entries: packEntries(entries) }),
  };
}

async function writeSnapshot(
  { thread, clock }: { thread: LogThread; clock: Clock },
  meta: SnapshotMeta,
  pieces: Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const snapshot = await thread.request<"begin-snapshot">({ kind: "begin-snapshot" });
  try {
    let chunk = 0;
    for await (const data of drawChunks(pieces, clock)) {
      signal.throwIfAborted();
      await thread.request<"write-chunk">({ kind: "write-chunk", snapshot, chunk, data });
      chunk += 1;
    }
    signal.throwIfAborted();
    await thread.request<"finish-snapshot">({ kind: "finish-snapshot", snapshot, meta });
  } catch (thrown) {
    await thread.request<"abandon-snapshot">({ kind: "abandon-snapshot", snapshot });
    throw Fault.wrap(`Cannot write the snapshot at entry ${meta.index}`, thrown);
  } finally {
    await dropChunks(thread);
  }
}

/** Draws the pieces with a turn of the event loop after each stretch. The last chunk may be empty. */
async function* drawChunks(
  pieces: Iterable<Uint8Array>,
  clock: Clock,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let drawn: Uint8Array[] = [];
  let sizeBytes = 0;
  let stretchEndMs = clock.monotonic() + stretchMs;
  for (const piece of pieces) {
    drawn.push(piece);
    sizeBytes += piece.length;
    const full = sizeBytes >= chunkBytesMin;
    if (full) {
      yield encodeChunk(drawn);
      drawn = [];
      sizeBytes = 0;
    }
    if (full || clock.monotonic() >= stretchEndMs) {
      await turn();
      stretchEndMs = clock.monotonic() + stretchMs;
    }
  }
  yield encodeChunk(drawn);
}

/** Never rejects: what cannot be dropped now is dropped the next time, and what ends the log is told by `failed`. */
async function dropChunks(thread: LogThread): Promise<void> {
  try {
    while ((await thread.request<"drop-chunks">({ kind: "drop-chunks" })).more);
  } catch {
    return;
  }
}
