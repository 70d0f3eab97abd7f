/** Applies what is committed to a server's state machine, some time after the core gave it out, and takes snapshots. */
import type { Entry, Membership, ServerId, SnapshotMeta } from "#manager/raft/contract.ts";
import type { Disk } from "./disk.ts";
import { decodeCommand, KeyValueMachine, type Seen } from "./key-value.ts";
import type { World } from "./world.ts";

const chunkBytes = 6;

/** An installed snapshot's state is on the disk once its write is durable. */
type Step =
  | Entry
  | { readonly kind: "install"; readonly number: number; readonly meta: SnapshotMeta };

interface ApplierOptions {
  readonly id: ServerId;
  readonly onApplied: (entry: Entry, seen: Seen | undefined) => void;
  /** A snapshot up to here is durable. */
  readonly onSnapshot: (index: number) => void;
}

export class Applier {
  readonly #world: World;
  readonly #disk: Disk;
  readonly #options: ApplierOptions;
  #machine: KeyValueMachine;
  #index: number;
  #term: number;
  #membership: Membership;
  readonly #queue: Step[] = [];
  #scheduled = false;
  #durableNumber = 0;
  #snapshotting = false;
  #disposed = false;
  #waiters: { readonly index: number; readonly run: () => void }[] = [];

  constructor(world: World, disk: Disk, options: ApplierOptions) {
    this.#world = world;
    this.#disk = disk;
    this.#options = options;
    const { meta } = disk.snapshot;
    this.#machine = this.#restored();
    this.#index = meta.index;
    this.#term = meta.term;
    this.#membership = meta.membership;
  }

  get index(): number {
    return this.#index;
  }

  get machine(): KeyValueMachine {
    return this.#machine;
  }

  dispose(): void {
    this.#disposed = true;
  }

  add(entries: readonly Entry[]): void {
    for (const entry of entries) this.#queue.push(entry);
    this.#schedule();
  }

  /** What still waits is in the snapshot. */
  install(meta: SnapshotMeta, number: number): void {
    this.#queue.length = 0;
    this.#queue.push({ kind: "install", number, meta });
    this.#schedule();
  }

  onPersisted(number: number): void {
    this.#durableNumber = number;
    this.#schedule();
  }

  /** Once everything up to `index` is applied. */
  when(index: number, run: () => void): void {
    if (index <= this.#index) run();
    else this.#waiters.push({ index, run });
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    const { agenda, random, profile } = this.#world;
    agenda.after(random.between(0, profile.applyMs), () => {
      this.#scheduled = false;
      if (!this.#disposed) this.#run();
    });
  }

  #run(): void {
    for (let step = this.#queue[0]; step !== undefined; step = this.#queue[0]) {
      if (step.kind === "install") {
        if (step.number > this.#durableNumber) break;
        this.#restore(step.meta);
      } else this.#apply(step);
      this.#queue.shift();
    }
    const due = this.#waiters.filter(({ index }) => index <= this.#index);
    this.#waiters = this.#waiters.filter(({ index }) => index > this.#index);
    for (const { run } of due) run();
    this.#snapshotIfDue();
  }

  #apply(entry: Entry): void {
    const seen = entry.kind === "data" ? this.#machine.apply(decodeCommand(entry.data)) : undefined;
    if (entry.kind === "membership") this.#membership = entry.membership;
    this.#index = entry.index;
    this.#term = entry.term;
    this.#world.checks.checkState(this.#options.id, this.#index, this.#machine.toString());
    this.#options.onApplied(entry, seen);
  }

  #restore(meta: SnapshotMeta): void {
    this.#machine = this.#restored();
    this.#index = meta.index;
    this.#term = meta.term;
    this.#membership = meta.membership;
    this.#world.checks.checkState(this.#options.id, this.#index, this.#machine.toString());
  }

  #restored(): KeyValueMachine {
    const { chunks } = this.#disk.snapshot;
    const whole = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
    return new KeyValueMachine(whole.length === 0 ? undefined : whole);
  }

  #snapshotIfDue(): void {
    const { profile, marks, random } = this.#world;
    const { meta } = this.#disk.snapshot;
    if (this.#snapshotting || this.#index - meta.index < profile.snapshotEvery) return;
    this.#snapshotting = true;
    marks.add("snapshots taken");
    const index = this.#index;
    const snapshot = {
      meta: { index, term: this.#term, membership: this.#membership },
      chunks: chunksOf(this.#machine.encode()),
    };
    const trailing = random.int(profile.trailingEntries + 1);
    this.#disk.writeSnapshot(snapshot, trailing, () => {
      if (this.#disposed) return;
      this.#snapshotting = false;
      this.#options.onSnapshot(index);
    });
  }
}

function chunksOf(bytes: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let begin = 0; begin < bytes.length; begin += chunkBytes) {
    chunks.push(bytes.slice(begin, begin + chunkBytes));
  }
  return chunks;
}
