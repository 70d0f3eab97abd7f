/**
 * The backups that one manager writes by itself: files in a folder, which may hold others, also those of other managers.
 *
 *     NAME-CLUSTER-NODE-20261121T030000Z.backup     cluster's name and ID, node's ID, when it was taken
 *
 * A file is there whole or not at all. What does not end in this cluster's and this node's ID is never touched. One of a time
 * that has not come, by a clock that was wrong, neither counts nor goes: it would stand in for all that are to come.
 */
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";

export interface BackupOwner {
  readonly clusterName: string;
  readonly clusterId: string;
  readonly nodeId: string;
}

export interface StoredBackup {
  readonly path: string;
  readonly takenAtMs: number;
  readonly sizeBytes: number;
}

const extension = ".backup";
const draftExtension = ".partial";
const stampPattern = /-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

export class BackupFolder {
  readonly #folder: string;
  readonly #owner: BackupOwner;

  constructor(folder: string, owner: BackupOwner) {
    this.#folder = folder;
    this.#owner = owner;
  }

  /** Of this manager. A folder that is not there yet has none. */
  async newest(nowMs: number): Promise<StoredBackup | undefined> {
    try {
      const [name] = await this.#own(nowMs);
      if (name === undefined) return undefined;
      const path = join(this.#folder, name);
      const { size } = await stat(path);
      return { path, takenAtMs: this.#takenAtMs(name) ?? 0, sizeBytes: size };
    } catch (thrown) {
      throw Fault.wrap(`Cannot look for backups in "${this.#folder}"`, thrown);
    }
  }

  async write(takenAtMs: number, parts: Iterable<Uint8Array>): Promise<StoredBackup> {
    const path = join(this.#folder, this.#nameAt(takenAtMs));
    const draft = `${path}${draftExtension}`;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const sizeBytes = await writeDraft(draft, parts);
      await rename(draft, path);
      await using folder = await open(this.#folder);
      await folder.sync();
      return { path, takenAtMs, sizeBytes };
    } catch (thrown) {
      throw Fault.wrap(`Cannot write a backup to "${this.#folder}"`, thrown);
    } finally {
      await rm(draft, { force: true }).catch(() => undefined);
    }
  }

  /** Leaves the newest, and no draft that a crash has left. */
  async retain(keep: number, nowMs: number): Promise<void> {
    try {
      const drafts = await this.#own(Infinity, draftExtension);
      const names = [...(await this.#own(nowMs)).slice(keep), ...drafts];
      for (const name of names) await rm(join(this.#folder, name), { force: true });
    } catch (thrown) {
      throw Fault.wrap(`Cannot remove old backups from "${this.#folder}"`, thrown);
    }
  }

  /** The newest first. */
  async #own(untilMs: number, ending = ""): Promise<string[]> {
    const names = await readdir(this.#folder).catch((thrown) => {
      if (Fault.from(thrown).code === "not-found") return [];
      throw thrown;
    });
    const takenAtMs = (name: string) => this.#takenAtMs(name.slice(0, name.length - ending.length));
    return names
      .filter((name) => name.endsWith(ending) && (takenAtMs(name) ?? Number.NaN) <= untilMs)
      .toSorted((a, b) => (takenAtMs(b) ?? 0) - (takenAtMs(a) ?? 0));
  }

  get #marks(): string {
    return `-${this.#owner.clusterId}-${this.#owner.nodeId}`;
  }

  #nameAt(takenAtMs: number): string {
    const stamp = new Date(takenAtMs).toISOString().replace(/[-:]|\.\d+/g, "");
    return `${this.#owner.clusterName}${this.#marks}-${stamp}${extension}`;
  }

  /** Undefined where it is no backup of this manager. */
  #takenAtMs(name: string): number | undefined {
    if (!name.endsWith(extension)) return undefined;
    const stem = name.slice(0, -extension.length);
    const [stamp, ...parts] = stampPattern.exec(stem) ?? [];
    if (stamp === undefined || !stem.slice(0, -stamp.length).endsWith(this.#marks))
      return undefined;
    const [year, month, day, hour, minute, second] = parts;
    const atMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    return Number.isNaN(atMs) ? undefined : atMs;
  }
}

/** For its owner alone from the start, and on the disk when it resolves: with how many bytes. */
async function writeDraft(draft: string, parts: Iterable<Uint8Array>): Promise<number> {
  await using file = await open(draft, "w", 0o600);
  // One that a crash has left may have been another's to read.
  await file.chmod(0o600);
  let sizeBytes = 0;
  for (const part of parts) {
    await file.writeFile(part);
    sizeBytes += part.length;
  }
  await file.sync();
  return sizeBytes;
}
