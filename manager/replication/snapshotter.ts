/**
 * Decides when the state is written as a snapshot, and writes it beside everything else: the state as it is at the call,
 * whose index is exactly what has been applied by then.
 *
 * A snapshot is due after so many entries, or bytes of them, but never before they come to twice the snapshot before: so
 * that of a large state that changes fast at most half as much is written as snapshots as is as entries, and the log that a
 * start reads is at most twice the state (Raft dissertation, 5.1.2: an expansion factor). Where the cluster's settings say
 * after how many entries, that alone counts, as in Swarm.
 */
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import type { SnapshotMeta } from "../raft/contract.ts";
import type { StateMachine } from "../store/log.ts";

/** How often the last snapshot's size the entries come to before the next. */
const expansion = 2;

export interface SnapshotterOptions {
  /** Entries, or bytes of them, after which a new snapshot is due. */
  readonly entriesMax: number;
  readonly bytesMax: number;
}

/** What a cluster's settings say. */
export interface SnapshotSettings {
  /** Entries from one snapshot to the next, however large they and the state are; undefined: as it serves best. */
  readonly interval: number | undefined;
  /** How many are kept behind the newest. */
  readonly keepOld: number;
}

export interface SnapshotterModules {
  readonly storage: RaftStorage;
  readonly machine: StateMachine;
  readonly log: Log;
  /** The snapshot up to this index is durable. Says up to where the entries are not needed any more. */
  readonly onDurable: (index: number) => number;
}

export class Snapshotter implements AsyncDisposable {
  readonly #options: SnapshotterOptions;
  readonly #modules: SnapshotterModules;
  readonly #stop = new AbortController();
  /** Where the newest snapshot, or the last attempt at one, was taken. */
  #lastIndex: number;
  #lastBytes = 0;
  /** What the newest snapshot came to. */
  #sizeBytes = 0;
  #running: Promise<void> | undefined;
  #attempt = new AbortController();
  #interval: number | undefined;
  #keepOld: number | undefined;

  constructor(lastIndex: number, options: SnapshotterOptions, modules: SnapshotterModules) {
    this.#lastIndex = lastIndex;
    this.#options = options;
    this.#modules = modules;
  }

  configure({ interval, keepOld }: SnapshotSettings): void {
    this.#interval = interval;
    if (keepOld === this.#keepOld) return;
    this.#keepOld = keepOld;
    const { storage, log } = this.#modules;
    storage.keepSnapshots(keepOld).catch((thrown: unknown) => {
      this.#keepOld = undefined;
      const error = Fault.from(thrown).message;
      log.warn("Cannot say how many snapshots are kept", { error });
    });
  }

  /** `bytes` of data have been applied since the start, up to `place`. */
  consider(place: SnapshotMeta, bytes: number): void {
    const { entriesMax, bytesMax } = this.#options;
    const entries = place.index - this.#lastIndex;
    const gained = bytes - this.#lastBytes;
    const grown = gained >= expansion * this.#sizeBytes;
    const due =
      this.#interval === undefined
        ? grown && (entries >= entriesMax || (gained >= bytesMax && entries > 0))
        : entries >= this.#interval;
    if (!due || this.#running !== undefined || this.#stop.signal.aborted) return;
    this.#lastIndex = place.index;
    this.#lastBytes = bytes;
    this.#running = this.#write(place).finally(() => {
      this.#running = undefined;
    });
  }

  /** Another's snapshot has taken the state's place: one of the old state is worth nothing. */
  replaced(place: SnapshotMeta, bytes: number): void {
    this.#attempt.abort(new Fault("canceled", "a newer snapshot came"));
    this.#lastIndex = place.index;
    this.#lastBytes = bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new Fault("canceled", "the log is closed");
    this.#stop.abort(reason);
    this.#attempt.abort(reason);
    await this.#running;
  }

  async #write(place: SnapshotMeta): Promise<void> {
    const { storage, machine, log, onDurable } = this.#modules;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const pieces = new Measured(machine.snapshot());
    try {
      await storage.writeSnapshot(place, pieces, attempt.signal);
      attempt.signal.throwIfAborted();
      this.#sizeBytes = pieces.bytes;
      await storage.dropEntries(onDurable(place.index));
    } catch (thrown) {
      if (attempt.signal.aborted) return;
      const error = Fault.from(thrown).message;
      const { index } = place;
      log.warn("The snapshot failed; the managers' log goes on without it", { index, error });
    }
  }
}

/** Pieces that are counted as they are drawn. */
class Measured implements Iterable<Uint8Array> {
  bytes = 0;
  readonly #pieces: Iterable<Uint8Array>;

  constructor(pieces: Iterable<Uint8Array>) {
    this.#pieces = pieces;
  }

  *[Symbol.iterator](): Iterator<Uint8Array> {
    for (const piece of this.#pieces) {
      this.bytes += piece.length;
      yield piece;
    }
  }
}
