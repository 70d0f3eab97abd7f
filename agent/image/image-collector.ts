/**
 * Removes images that nobody uses: those that were not used for a long time, and when the disk gets full, from the one
 * that was used longest ago on until there is room again. Never the image of a task that lives, nor that of the version
 * that a service had before on this node: a rollback must not wait for a registry.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { type DiskProbe, systemDiskProbe } from "./disk-room.ts";
import type { ImageStore } from "./image-store.ts";
import { ifUnusedSince, type ImageView, viewImages } from "./image-views.ts";
import { layersInUse, type ReadTaskUses, type TaskUse, usesOf } from "./task-uses.ts";

export interface CollectorOptions {
  /** Percent of the disk in use at which images go, and down to which. */
  readonly highPercent: number;
  readonly lowPercent: number;
  /** How long an image may be unused; 0: for ever. */
  readonly unusedMs: number;
}

export interface CollectorModules {
  readonly store: ImageStore;
  readonly uses: ReadTaskUses;
  readonly clock: Clock;
  readonly log: Log;
  readonly disk?: DiskProbe;
}

const periodMs = 60_000;

/** What was pulled or used just now may be about to be used; kubelet has the same. */
const graceMs = 2 * 60_000;

export class ImageCollector implements AsyncDisposable {
  #options: CollectorOptions;
  readonly #modules: CollectorModules;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: CollectorOptions, modules: CollectorModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Collects now and every minute. The first time it also clears away what a process that was killed has left. */
  start(): void {
    this.#running = this.#collectOrTell();
    void this.#running.then(() => {
      if (this.#isStopped) return;
      this.#timer = this.#modules.clock.timer(periodMs, () => this.start());
    });
  }

  /** Other settings from the next time on. */
  configure(options: CollectorOptions): void {
    this.#options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async collect(): Promise<void> {
    const { store, clock } = this.#modules;
    const uses = await this.#modules.uses();
    const inUse = layersInUse(uses);
    const live = uses.filter(({ isLive }) => isLive);
    await store.sweep(inUse);
    const views = viewImages(store.list());
    const used = views.filter((view) => usesOf(view, live).length > 0);
    const kept = new Set([...used, ...previousVersions(views, uses)]);
    const unused = views.toReversed().filter((view) => !kept.has(view));
    const nowMs = clock.now();
    const { unusedMs } = this.#options;
    const old = unused.filter(({ usedAtMs }) => unusedMs > 0 && nowMs - usedAtMs > unusedMs);
    for (const view of old) await this.#remove(view, inUse, "it was not used for long");
    const rest = unused.filter((view) => !old.includes(view) && nowMs - view.usedAtMs > graceMs);
    await this.#relieve(rest, inUse);
    // Last: it writes, which a full disk may not let it do before something is gone.
    await store.touch(used.flatMap(({ held }) => held.map(({ reference }) => reference)));
  }

  async #collectOrTell(): Promise<void> {
    try {
      await this.collect();
    } catch (error) {
      const { message } = Fault.from(error);
      this.#modules.log.warn("Cannot clear away unused images", { error: message });
    }
  }

  /** Removes images in their order, for as long as the disk is too full. */
  async #relieve(candidates: readonly ImageView[], inUse: ReadonlySet<string>): Promise<void> {
    const { highPercent, lowPercent } = this.#options;
    if ((await this.#usedPercent()) < highPercent) return;
    for (const view of candidates) {
      await this.#remove(view, inUse, "the disk gets full");
      if ((await this.#usedPercent()) <= lowPercent) return;
    }
    const usedPercent = await this.#usedPercent();
    if (usedPercent < highPercent) return;
    this.#modules.log.warn("The disk is full, and no unused image is left to remove", {
      path: this.#modules.store.root,
      usedPercent: Math.round(usedPercent),
    });
  }

  async #usedPercent(): Promise<number> {
    const { disk = systemDiskProbe, store } = this.#modules;
    const { totalBytes, freeBytes } = await disk(store.root);
    return totalBytes === 0 ? 0 : 100 * (1 - freeBytes / totalBytes);
  }

  async #remove(view: ImageView, inUse: ReadonlySet<string>, why: string): Promise<void> {
    const { store, log } = this.#modules;
    const present = ifUnusedSince(view, store.list());
    if (present === undefined) return;
    const references = present.held.map(({ reference }) => reference);
    const reclaimedBytes = await store.remove(references, inUse);
    log.info("Removed an unused image", { image: references[0], id: view.id, reclaimedBytes, why });
  }
}

/** Of each service the image that it had here before the one, or the ones, that it has now. */
export function previousVersions(
  views: readonly ImageView[],
  uses: readonly TaskUse[],
): readonly ImageView[] {
  const previous: ImageView[] = [];
  for (const service of new Set(uses.map(({ serviceId }) => serviceId))) {
    const own = uses
      .filter(({ serviceId }) => serviceId === service)
      .toSorted((a, b) => b.createdAtMs - a.createdAtMs);
    const imageOf = (use: TaskUse) => views.find((view) => usesOf(view, [use]).length > 0);
    const present = new Set(own.filter(({ isLive }) => isLive).map(imageOf));
    const ended = own.filter(({ isLive }) => !isLive).map(imageOf);
    const before = ended.find((view) => view !== undefined && !present.has(view));
    if (before !== undefined) previous.push(before);
  }
  return previous;
}
