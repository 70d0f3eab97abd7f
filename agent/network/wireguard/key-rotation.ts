/**
 * When this host renews its key, and in which steps, so that flows go on:
 *
 * 1. A next key is made and announced beside the one in use: peers will take handshakes of either.
 * 2. When managers confirm the announcement, the news gets a moment to reach every peer.
 * 3. The next key is taken into use: this host shakes hands under it, and what peers send under the one before is still
 *    understood. It is announced alone, and as that reaches a peer, the peer takes and sends data under it. Until then it
 *    drops what this host sends: the gap is the time that this news takes.
 *
 * A host without a manager stops before step 2 and goes on with its key. One that ends in between goes on where it was.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Log, Random } from "#proto/ports.ts";
import { announce } from "./announced-key.ts";
import type { HostKeys } from "./host-keys.ts";

/** What managers say in a session. */
export interface EncryptionNews {
  /** What they hold to be this node's keys. */
  readonly announced: string;
  readonly periodMs: number;
  readonly rotations: number;
}

/** Time for an announcement to reach every peer; a manager's followers and batches are far below. */
const settleMs = 2_000;

/** On the command to renew, not all nodes at the same time: each tells all others. And by themselves, not in step. */
const commandedSpreadMs = 1_000;
const spreadMsPerPeer = 20;
const earlyShare = 0.2;

const retryMs = 10_000;

export interface KeyRotationModules {
  readonly keys: HostKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How many other nodes there are. */
  readonly peers: () => number;
  /** Other keys are to be announced. */
  readonly onAnnouncement: () => void;
  /** Another key is in use from now on. Resolves when it is. */
  readonly changeOver: () => Promise<void>;
}

export class KeyRotation implements Disposable {
  readonly #modules: KeyRotationModules;
  readonly #early: number;
  #news: EncryptionNews | undefined;
  #timer: Disposable | undefined;
  #busy = false;
  #disposed = false;

  constructor(modules: KeyRotationModules) {
    this.#modules = modules;
    this.#early = (modules.random.int(1_000) / 1_000) * earlyShare;
  }

  onNews(news: EncryptionNews): void {
    const before = this.#news;
    this.#news = news;
    const same =
      before?.announced === news.announced &&
      before.periodMs === news.periodMs &&
      before.rotations === news.rotations;
    if (!same && !this.#busy) this.#plan();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #plan(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const { keys } = this.#modules;
    if (this.#disposed || this.#news === undefined) return;
    if (keys.next === undefined) return this.#after(this.#restMs(this.#news), () => this.#renew());
    // The managers' word may be of before the announcement.
    if (this.#news.announced === announce(keys)) this.#after(settleMs, () => this.#changeOver());
  }

  #restMs({ periodMs, rotations }: EncryptionNews): number {
    const { clock, random, keys, peers } = this.#modules;
    if (rotations > keys.inUse.rotation) {
      return random.int(commandedSpreadMs + spreadMsPerPeer * peers());
    }
    const ageMs = Math.max(0, clock.now() - keys.inUse.madeAtMs);
    return Math.max(0, periodMs * (1 - this.#early) - ageMs);
  }

  async #renew(): Promise<void> {
    const { keys, log } = this.#modules;
    await keys.renew(Math.max(this.#news?.rotations ?? 0, keys.inUse.rotation));
    log.info("renewing this host's key for encrypted networks");
    this.#modules.onAnnouncement();
  }

  async #changeOver(): Promise<void> {
    await this.#modules.keys.promote();
    try {
      await this.#modules.changeOver();
    } finally {
      // The key before is forgotten: whatever is wrong with the link, its repair takes this one.
      this.#modules.onAnnouncement();
    }
  }

  #after(ms: number, work: () => Promise<void>): void {
    // Longer than a timer can be set for.
    const capped = Math.min(ms, 24 * 3_600_000);
    this.#timer = this.#modules.clock.timer(capped, () => {
      if (capped < ms) this.#plan();
      else void this.#run(work);
    });
  }

  async #run(work: () => Promise<void>): Promise<void> {
    this.#busy = true;
    try {
      await work();
      this.#busy = false;
      this.#plan();
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#modules.log.warn("cannot renew this host's key for encrypted networks", { error });
      this.#busy = false;
      if (!this.#disposed) this.#timer = this.#modules.clock.timer(retryMs, () => this.#plan());
    }
  }
}
