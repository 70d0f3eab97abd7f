/**
 * A server's disk. Writes become durable one after another, some time after they were asked for; several may do so at once.
 * A crash loses those that are not durable yet, except for a prefix: whole records, and of the last one its first entries.
 */
import type { Durable, Entry, HardState, Persist, SnapshotMeta } from "#manager/raft/contract.ts";
import type { Agenda } from "../agenda.ts";
import { LogImage } from "./log-image.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import type { SeededRandom } from "../random.ts";
import { Violation } from "./violation.ts";

export interface StoredSnapshot {
  readonly meta: SnapshotMeta;
  readonly chunks: readonly Uint8Array[];
}

interface DiskWorld {
  readonly agenda: Agenda;
  readonly random: SeededRandom;
  readonly marks: Marks<MarkName>;
  readonly syncMs: number;
}

const slowFactor = 60;

export class Disk {
  readonly #world: DiskWorld;
  readonly #random: SeededRandom;
  #hardState: HardState = { term: 0, votedFor: undefined };
  readonly #log: LogImage;
  #snapshotChunks: readonly Uint8Array[];
  #staged: { readonly meta: SnapshotMeta; readonly chunks: Uint8Array[] } | undefined;
  #queue: Persist[] = [];
  #syncing = false;
  /** Grows with each crash: what was under way before it does not come back. */
  #life = 0;
  #slowUntilMs = 0;
  #onDurable: (number: number) => void = () => {};

  constructor(world: DiskWorld, snapshot: StoredSnapshot) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#log = new LogImage(snapshot.meta, []);
    this.#snapshotChunks = snapshot.chunks;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get snapshot(): StoredSnapshot {
    return { meta: this.#log.snapshot, chunks: this.#snapshotChunks };
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  holds(index: number, term: number): boolean {
    return this.#log.holds(index, term);
  }

  beSlowUntil(atMs: number): void {
    this.#slowUntilMs = atMs;
  }

  /** What a server finds when it starts. `onDurable` hears the number of the last write that is durable, from now on. */
  open(onDurable: (number: number) => void): Durable {
    this.#onDurable = onDurable;
    const { snapshot } = this.#log;
    if (!entriesFit(snapshot, this.#log.entries)) this.#log.install(snapshot);
    return { hardState: this.#hardState, snapshot, entries: [...this.#log.entries] };
  }

  persist(persist: Persist): void {
    this.#queue.push(persist);
    this.#sync();
  }

  /** A snapshot of this server's own state, beside the log's writes. */
  writeSnapshot(snapshot: StoredSnapshot, trailing: number, onWritten: () => void): void {
    const life = this.#life;
    this.#world.agenda.after(this.#delayMs() * 2, () => {
      if (life !== this.#life) return;
      if (snapshot.meta.index > this.#log.snapshot.index) {
        this.#log.cover(snapshot.meta);
        this.#snapshotChunks = snapshot.chunks;
        this.#log.drop(snapshot.meta.index - trailing);
      }
      onWritten();
    });
  }

  crash(): void {
    this.#life += 1;
    this.#syncing = false;
    const queue = this.#queue;
    this.#queue = [];
    if (queue.length === 0) return;
    this.#world.marks.add("unsynced writes lost");
    let whole = this.#random.int(queue.length);
    while (whole > 0) {
      const persist = queue.shift();
      if (persist !== undefined) this.#write(persist, persist.entries);
      whole -= 1;
    }
    const torn = queue[0];
    if (torn !== undefined && torn.entries.length > 1 && this.#random.chance(0.5)) {
      this.#world.marks.add("torn tails");
      this.#write(torn, torn.entries.slice(0, 1 + this.#random.int(torn.entries.length - 1)));
    }
    this.#staged = undefined;
  }

  /** A slow write is done soon after the disk is well again. */
  #delayMs(): number {
    const { agenda, syncMs } = this.#world;
    const delayMs = this.#random.between(0, syncMs);
    const slowMs = Math.max(0, this.#slowUntilMs - agenda.nowMs);
    return delayMs + Math.min(slowMs, delayMs * slowFactor);
  }

  #sync(): void {
    if (this.#syncing || this.#queue.length === 0) return;
    this.#syncing = true;
    const life = this.#life;
    const count = 1 + this.#random.int(this.#queue.length);
    this.#world.agenda.after(this.#delayMs(), () => {
      if (life !== this.#life) return;
      this.#syncing = false;
      const written = this.#queue.splice(0, count);
      for (const persist of written) this.#write(persist, persist.entries);
      const last = written.at(-1);
      this.#sync();
      if (last !== undefined) this.#onDurable(last.number);
    });
  }

  #write(persist: Persist, entries: readonly Entry[]): void {
    const { chunk, install, hardState } = persist;
    if (chunk !== undefined) this.#stage(chunk);
    if (install !== undefined) this.#install(install);
    if (hardState !== undefined) this.#hardState = hardState;
    const first = entries[0]?.index ?? 0;
    if (first > this.#log.lastIndex + 1) {
      throw new Violation("contract", `entry ${first} is written after ${this.#log.lastIndex}`);
    }
    this.#log.write(entries);
  }

  #stage({ meta, chunk, data }: NonNullable<Persist["chunk"]>): void {
    if (chunk === 0) this.#staged = { meta, chunks: [] };
    const staged = this.#staged;
    if (staged?.meta.index !== meta.index || staged.chunks.length !== chunk) {
      throw new Violation(
        "contract",
        `chunk ${chunk} of snapshot ${meta.index} comes out of order`,
      );
    }
    staged.chunks.push(data);
  }

  #install(meta: SnapshotMeta): void {
    const staged = this.#staged;
    if (staged?.meta.index !== meta.index || staged.meta.term !== meta.term) {
      throw new Violation("contract", `snapshot ${meta.index} is installed and is not here`);
    }
    if (meta.index < this.#log.snapshot.index) {
      throw new Violation("contract", `snapshot ${meta.index} takes the place of a newer one`);
    }
    this.#log.install(meta);
    this.#snapshotChunks = staged.chunks;
    this.#staged = undefined;
  }
}

/**
 * A snapshot holds what was applied, which may be before the same entries are durable here: then the log on the disk ends
 * before the snapshot does, or has other entries there, and all of it is void.
 */
function entriesFit(snapshot: SnapshotMeta, entries: readonly Entry[]): boolean {
  const begin = entries[0]?.index;
  if (begin === undefined || begin === snapshot.index + 1) return true;
  return entries[snapshot.index - begin]?.term === snapshot.term;
}
