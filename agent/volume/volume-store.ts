/**
 * The volumes of this node, and which task has which. A volume that a task has is never removed, and what its options name
 * is mounted from the first task's use to the last one's. What a task has is on disk before the task can use it, so that
 * a start after any kind of end knows it again. One step at a time for each volume.
 */
import { mkdir, realpath } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { Clock, Log, Random } from "#proto/ports.ts";
import { checkVolumeName, checkVolumeOptions } from "#proto/volume-rules.ts";
import type { Exec } from "../exec.ts";
import { copyUp } from "./copy-up.ts";
import { readMountPoints } from "./mount-table.ts";
import { type Use, type Volume, VolumeFiles } from "./volume-files.ts";
import { hasMount, mountVolume, unmountVolume } from "./volume-mount.ts";

/** Docker's mark on volumes that nobody named. */
const anonymousLabel = "com.docker.volume.anonymous";

export interface VolumeWish {
  /** Empty: one of its own, which goes when the container goes. */
  readonly name: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

/** What of an image goes into the volume where that is empty. */
export interface CopyWish {
  readonly layers: readonly string[];
  readonly path: string;
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export interface VolumeStoreModules {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class VolumeStore {
  readonly #modules: VolumeStoreModules;
  readonly #files: VolumeFiles;
  readonly #volumes = new Map<string, Volume>();
  /** By task. */
  readonly #uses = new Map<string, readonly Use[]>();
  /** The end of the newest step of each volume, and of each task's list. */
  readonly #lanes = new Map<string, Promise<unknown>>();

  /** For `open`. */
  constructor(root: string, modules: VolumeStoreModules) {
    this.#modules = modules;
    this.#files = new VolumeFiles(root, modules);
  }

  static async open(root: string, modules: VolumeStoreModules): Promise<VolumeStore> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    // As the kernel names mount points.
    const store = new VolumeStore(await realpath(root), modules);
    await store.#load();
    return store;
  }

  list(): readonly Volume[] {
    return [...this.#volumes.values()];
  }

  get(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume !== undefined) return volume;
    throw new Fault("not-found", `volume "${name}" not found on this node`);
  }

  mountpointOf(name: string): string {
    return this.#files.dataOf(name);
  }

  /** The tasks that have the volume. */
  usersOf(name: string): readonly string[] {
    const has = (uses: readonly Use[]) => uses.some((use) => use.name === name);
    return [...this.#uses].filter(([, uses]) => has(uses)).map(([task]) => task);
  }

  /** Tasks that have volumes. */
  tasks(): readonly string[] {
    return [...this.#uses.keys()];
  }

  sizes(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#files.sizes(names);
  }

  /** The volume of that name, made where there is none (Docker): but not one that differs from what is wished for. */
  async create(wish: VolumeWish): Promise<Volume> {
    const named = this.#named(wish);
    return await this.#serial(named.name, () => this.#ensure(named));
  }

  /** The task has the volume from now on. Nothing is mounted yet. */
  async claim(taskId: string, wish: VolumeWish): Promise<Volume> {
    const named = this.#named(wish);
    const { name } = named;
    checkVolumeName(name);
    return await this.#serial(name, async () => {
      const use = { name, own: wish.name === "" };
      await this.#use(taskId, (uses) => [...uses.filter((one) => one.name !== name), use]);
      return await this.#ensure(named);
    });
  }

  /** Where the content of a volume that the task has is, mounted, filled with the image's where it was empty. */
  async open(name: string, copy?: CopyWish): Promise<string> {
    const volume = this.get(name);
    const data = this.#files.dataOf(name);
    await this.#serial(name, async () => {
      if (hasMount(volume) && !(await readMountPoints()).includes(data)) {
        await mountVolume(volume, data, this.#modules.exec);
      }
      if (copy !== undefined) {
        await copyUp({ ...copy, data, marker: this.#files.markerOf(name) }, this.#modules);
      }
    });
    return data;
  }

  /** The task has its volumes no more, or no more those that were made for one container; these are removed. */
  async release(taskId: string, which: "all" | "own"): Promise<void> {
    for (const { name, own } of this.#uses.get(taskId) ?? []) {
      if (which === "own" && !own) continue;
      await this.#serial(name, async () => {
        if (this.usersOf(name).every((user) => user === taskId)) {
          await this.#unmount(name);
          if (own) await this.#drop(name);
        }
        await this.#use(taskId, (uses) => uses.filter((one) => one.name !== name));
      });
    }
  }

  async remove(name: string): Promise<void> {
    await this.#serial(name, async () => {
      this.get(name);
      const [user] = this.usersOf(name);
      if (user !== undefined) {
        const message = `Cannot remove volume "${name}": task ${user} has it`;
        throw new Fault("failed-precondition", message);
      }
      await this.#unmount(name);
      await this.#drop(name);
    });
  }

  async #load(): Promise<void> {
    const { volumes, uses } = await this.#files.load();
    for (const volume of volumes) this.#volumes.set(volume.name, volume);
    for (const [task, list] of uses) this.#uses.set(task, list);
    for (const { name } of volumes) {
      if (this.usersOf(name).length === 0) await this.#unmount(name);
    }
  }

  /** Nobody's name gets Docker's form and mark: 64 hexadecimal digits. */
  #named(wish: VolumeWish): VolumeWish {
    if (wish.name !== "") return wish;
    const name = Buffer.from(this.#modules.random.bytes(32)).toString("hex");
    return { ...wish, name, labels: { ...wish.labels, [anonymousLabel]: "" } };
  }

  async #ensure({ name, options = {}, labels = {} }: VolumeWish): Promise<Volume> {
    checkVolumeName(name);
    checkVolumeOptions(options);
    const present = this.#volumes.get(name);
    if (present !== undefined) {
      // One that says nothing takes what is there.
      if (Object.keys(options).length === 0 || sameOptions(options, present.options))
        return present;
      const message = `volume "${name}" is on this node already, with other options: remove it, or choose another name`;
      throw new Fault("failed-precondition", message);
    }
    const createdAtMs = this.#modules.clock.now();
    const volume = { name, options, labels, createdAtMs };
    await this.#files.create(volume);
    this.#volumes.set(name, volume);
    return volume;
  }

  async #drop(name: string): Promise<void> {
    if (!this.#volumes.has(name)) return;
    await this.#files.remove(name);
    this.#volumes.delete(name);
  }

  async #unmount(name: string): Promise<void> {
    const data = this.#files.dataOf(name);
    for (const point of await readMountPoints()) {
      if (point === data) await unmountVolume(name, data, this.#modules);
    }
  }

  async #use(taskId: string, change: (uses: readonly Use[]) => readonly Use[]): Promise<void> {
    await this.#serial(`task ${taskId}`, async () => {
      const uses = change(this.#uses.get(taskId) ?? []);
      await this.#files.saveUses(taskId, uses);
      if (uses.length === 0) this.#uses.delete(taskId);
      else this.#uses.set(taskId, uses);
    });
  }

  /** After all that was asked for before it in the same lane, whatever became of that. */
  async #serial<T>(lane: string, work: () => Promise<T>): Promise<T> {
    const before = this.#lanes.get(lane);
    const done = (async () => {
      await before?.catch(() => undefined);
      return await work();
    })();
    this.#lanes.set(lane, done);
    try {
      return await done;
    } finally {
      if (this.#lanes.get(lane) === done) this.#lanes.delete(lane);
    }
  }
}

export function isAnonymous({ labels }: Volume): boolean {
  return Object.hasOwn(labels, anonymousLabel);
}

function sameOptions(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => a[key] === b[key]);
}
