/**
 * Which images this host has, by full reference. Kept in one small file that is replaced as a whole. An image that lost
 * its tag to another stays, as NAME@DIGEST; one that never had a name is "@DIGEST".
 *
 * Invariant: an image is in it only after its manifest, its config and all its layers are on the disk. A list that cannot
 * be read, or is of another version of swarmd, is an empty one: images are pulled again, and nothing waits for a hand.
 */
import { readFile } from "node:fs/promises";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { parseDigest } from "#registry/digest.ts";
import {
  parseCount,
  parseJson,
  parseList,
  parseObject,
  parseText,
} from "#registry/foreign-json.ts";
import { replaceFile } from "./content.ts";

export interface IndexEntry {
  readonly reference: string;
  /** What the reference stood for at the registry: the digest of a manifest or of an index of manifests. */
  readonly digest: string;
  /** The manifest for this host's platform; the same digest where there is no index. */
  readonly manifestDigest: string;
  /** Wall-clock time, roughly: what uses an image is noted now and then. */
  readonly usedAtMs: number;
}

const formatVersion = 2;

export class ImageIndex {
  readonly #path: string;
  readonly #entries: Map<string, IndexEntry>;
  #writing: Promise<void> = Promise.resolve();

  static async open(path: string, log: Log): Promise<ImageIndex> {
    return new ImageIndex(path, await readEntries(path, log));
  }

  constructor(path: string, entries: readonly IndexEntry[]) {
    this.#path = path;
    this.#entries = new Map(entries.map((entry) => [entry.reference, entry]));
  }

  get entries(): readonly IndexEntry[] {
    return [...this.#entries.values()];
  }

  get(reference: string): IndexEntry | undefined {
    return this.#entries.get(reference);
  }

  /** Puts the entry in place of the one with its reference; `also` in the same write. */
  async set(entry: IndexEntry, also: readonly IndexEntry[] = []): Promise<void> {
    const before = new Map(this.#entries);
    for (const each of [entry, ...also]) this.#entries.set(each.reference, each);
    await this.#writeOr(before);
  }

  async remove(references: readonly string[]): Promise<void> {
    const before = new Map(this.#entries);
    for (const reference of references) this.#entries.delete(reference);
    await this.#writeOr(before);
  }

  /** As the disk has it where it could not be written; what others changed meanwhile stays. */
  async #writeOr(before: ReadonlyMap<string, IndexEntry>): Promise<void> {
    const changed = new Map(this.#entries);
    try {
      await this.#write();
    } catch (error) {
      for (const reference of new Set([...before.keys(), ...changed.keys()])) {
        if (this.#entries.get(reference) !== changed.get(reference)) continue;
        const old = before.get(reference);
        if (old === undefined) this.#entries.delete(reference);
        else this.#entries.set(reference, old);
      }
      throw error;
    }
  }

  /** One write after the other; each writes what is current when its turn comes. */
  #write(): Promise<void> {
    const write = this.#writing.then(() =>
      replaceFile(
        this.#path,
        Buffer.from(JSON.stringify({ formatVersion, images: this.entries }, undefined, 2)),
      ),
    );
    // A failed write is told to its own caller; the next one starts afresh.
    this.#writing = write.catch(() => {});
    return write;
  }
}

async function readEntries(path: string, log: Log): Promise<readonly IndexEntry[]> {
  try {
    const document = parseObject(parseJson(await readFile(path)), "the file");
    if (document["formatVersion"] !== formatVersion) {
      throw new Fault("failed-precondition", "it was written by another version of swarmd");
    }
    return parseList(document["images"], "images", parseEntry);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    const fault = Fault.from(error);
    // Of a disk that cannot be read nobody knows what it has.
    if (fault !== error) throw Fault.wrap(`Cannot read the list of images "${path}"`, fault);
    const about = { path, error: fault.message };
    log.warn("The list of images cannot be used: they are pulled again", about);
    return [];
  }
}

function parseEntry(value: unknown, where: string): IndexEntry {
  const entry = parseObject(value, where);
  return {
    reference: parseText(entry["reference"], `${where}.reference`),
    digest: parseDigest(parseText(entry["digest"], `${where}.digest`)),
    manifestDigest: parseDigest(parseText(entry["manifestDigest"], `${where}.manifestDigest`)),
    usedAtMs: parseCount(entry["usedAtMs"], `${where}.usedAtMs`),
  };
}
