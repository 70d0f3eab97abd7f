/**
 * The log of a single manager: a SQLite file, written by a thread of its own, so that waiting for the disk never stops the
 * event loop. One batch is in flight; everything proposed meanwhile goes down in the next, with one fsync for all.
 *
 * Invariant: an entry is applied after it is durable, once, in index order, on the main thread, and then its proposal
 * resolves. An index whose batch failed was never on disk and is given again.
 */
import { Fault } from "#proto/fault.ts";
import type { Log as Output } from "#proto/ports.ts";
import type { Log, Rejection, StateMachine } from "../store/log.ts";
import type { LogRecord } from "./log-messages.ts";
import { LogThread } from "./log-thread.ts";

const snapshotIntervalDefault = 10_000;

/** Proposals that may wait; more means that the disk cannot follow. */
const waitingMax = 20_000;

/** SQLite takes no value of 10⁹ bytes (sqlite.org/limits.html), and an entry is copied on its way to the thread. */
const entryBytesMaxDefault = 512 * 1024 * 1024;

const batchRecordsMax = 2000;
const batchBytesMax = 8 * 1024 * 1024;

/** How much of a snapshot is encoded at a stretch: about 2 ms. */
const snapshotSliceBytes = 256 * 1024;

export interface SqliteLogOptions {
  readonly path: string;
  /** Entries between two snapshots. */
  readonly snapshotInterval?: number;
  readonly entryBytesMax?: number;
}

export interface SqliteLogModules {
  readonly machine: StateMachine;
  readonly log: Output;
}

interface Proposal {
  readonly data: Uint8Array;
  resolve(rejection: Rejection): void;
  reject(fault: Fault): void;
}

export class SqliteLog implements Log, AsyncDisposable {
  readonly #thread: LogThread;
  readonly #machine: StateMachine;
  readonly #log: Output;
  readonly #snapshotInterval: number;
  readonly #entryBytesMax: number;
  readonly #waiting: Proposal[] = [];
  #index: bigint;
  #snapshotDueAt: bigint;
  #flushing: Promise<void> | undefined;
  #snapshotting: Promise<void> | undefined;
  #closing = false;

  constructor(
    options: SqliteLogOptions & { index: bigint; snapshotIndex: bigint },
    modules: SqliteLogModules & { thread: LogThread },
  ) {
    this.#thread = modules.thread;
    this.#machine = modules.machine;
    this.#log = modules.log;
    this.#snapshotInterval = options.snapshotInterval ?? snapshotIntervalDefault;
    this.#entryBytesMax = options.entryBytesMax ?? entryBytesMaxDefault;
    this.#index = options.index;
    this.#snapshotDueAt = options.snapshotIndex + BigInt(this.#snapshotInterval);
  }

  /** Opens or creates the file, and brings the machine to the state that it holds. */
  static async open(options: SqliteLogOptions, modules: SqliteLogModules): Promise<SqliteLog> {
    const thread = new LogThread();
    try {
      const { path } = options;
      const { snapshotIndex } = await thread.request<"open">({ kind: "open", path });
      await restore(thread, snapshotIndex, modules.machine);
      const index = await replay(thread, snapshotIndex, modules.machine);
      return new SqliteLog({ ...options, index, snapshotIndex }, { ...modules, thread });
    } catch (thrown) {
      await thread[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Resolves when the log cannot go on before it was opened anew: end the process. */
  get failed(): Promise<Fault> {
    return this.#thread.failed;
  }

  async propose(data: Uint8Array): Promise<Rejection> {
    if (this.#closing) throw new Fault("unavailable", "the log is closed");
    if (data.length > this.#entryBytesMax) {
      const message = `a write of ${data.length} bytes is over the ${this.#entryBytesMax} that the log takes at once`;
      throw new Fault("resource-exhausted", message);
    }
    if (this.#waiting.length >= waitingMax) {
      const message = `${waitingMax} writes wait for the disk already; write more slowly`;
      throw new Fault("resource-exhausted", message);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Rejection>();
    this.#waiting.push({ data, resolve, reject });
    this.#flushing ??= this.#flush();
    return promise;
  }

  /** Writes what was proposed, then closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await this.#flushing;
    await this.#snapshotting;
    await this.#thread[Symbol.asyncDispose]();
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = takeBatch(this.#waiting);
      const first = this.#index + 1n;
      const records = batch.map(({ data }, offset) => ({ index: first + BigInt(offset), data }));
      try {
        await this.#thread.request<"append">({ kind: "append", records });
      } catch (thrown) {
        for (const proposal of batch) proposal.reject(Fault.from(thrown));
        continue;
      }
      this.#apply(records, batch);
    }
    this.#flushing = undefined;
  }

  #apply(records: readonly LogRecord[], batch: readonly Proposal[]): void {
    for (const [offset, record] of records.entries()) {
      this.#index = record.index;
      batch[offset]?.resolve(this.#machine.apply(record));
    }
    if (this.#index < this.#snapshotDueAt || this.#closing) return;
    this.#snapshotting ??= this.#snapshot().finally(() => {
      this.#snapshotting = undefined;
    });
  }

  /** Writes the present state beside the running appends, then drops the entries that it covers. */
  async #snapshot(): Promise<void> {
    const index = this.#index;
    this.#snapshotDueAt = index + BigInt(this.#snapshotInterval);
    const pieces = this.#machine.snapshot()[Symbol.iterator]();
    try {
      let from = 0;
      for (;;) {
        const slice = takeSlice(pieces);
        if (slice.length === 0) break;
        await this.#thread.request<"write-snapshot">({
          kind: "write-snapshot",
          index,
          from,
          pieces: slice,
        });
        from += slice.length;
        if (this.#closing) return;
      }
      await this.#thread.request<"finish-snapshot">({
        kind: "finish-snapshot",
        index,
        pieceCount: from,
      });
      await this.#dropEntries();
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#log.warn("The snapshot failed; the log goes on without it", { index, error });
    }
  }

  async #dropEntries(): Promise<void> {
    while (!this.#closing) {
      const { more } = await this.#thread.request<"drop-entries">({ kind: "drop-entries" });
      if (!more) return;
    }
  }
}

async function restore(thread: LogThread, index: bigint, machine: StateMachine): Promise<void> {
  if (index === 0n) return;
  const pieces: Uint8Array[] = [];
  for (;;) {
    const slice = await thread.request<"read-snapshot">({
      kind: "read-snapshot",
      from: pieces.length,
    });
    if (slice.length === 0) break;
    for (const piece of slice) pieces.push(piece);
  }
  machine.restore(index, pieces);
}

/** Applies the entries after the snapshot; returns the last one's index. */
async function replay(thread: LogThread, after: bigint, machine: StateMachine): Promise<bigint> {
  let index = after;
  for (;;) {
    const records = await thread.request<"read-entries">({ kind: "read-entries", after: index });
    if (records.length === 0) return index;
    for (const record of records) {
      machine.apply(record);
      index = record.index;
    }
  }
}

function takeBatch(waiting: Proposal[]): Proposal[] {
  let count = 0;
  let sizeBytes = 0;
  for (const { data } of waiting) {
    if (count === batchRecordsMax) break;
    sizeBytes += data.length;
    if (count > 0 && sizeBytes > batchBytesMax) break;
    count += 1;
  }
  return waiting.splice(0, count);
}

function takeSlice(pieces: Iterator<Uint8Array>): Uint8Array[] {
  const slice: Uint8Array[] = [];
  let sizeBytes = 0;
  while (sizeBytes < snapshotSliceBytes) {
    const next = pieces.next();
    if (next.done) break;
    slice.push(next.value);
    sizeBytes += next.value.length;
  }
  return slice;
}
