/**
 * Unpacked layers: one folder each, with the tree that is an overlayfs lowerdir and a small file about it. Most layers
 * say all about what they have: their folder is named after the digest of their uncompressed tar (diffID), whatever they
 * lie on, and images share it. A layer that leans on those below it (it has things in folders of which it has no entry,
 * or hard links to files that it does not have) is completed from them and named after the whole chain.
 *
 * Invariant: a folder under its final name is complete, was verified, and is on the disk. It is unpacked elsewhere,
 * flushed with syncfs and renamed; a kill or a power cut leaves the folder or nothing. That is a fair price when an image
 * is pulled: after a power cut a container would otherwise start with empty programs.
 */
import { createHash } from "node:crypto";
import { renameSync } from "node:fs";
import { access, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Fault, errnoOf } from "#proto/fault.ts";
import { digestOf, shortIdOf } from "#registry/digest.ts";
import {
  parseCount,
  parseJson,
  parseList,
  parseObject,
  parseText,
} from "#registry/foreign-json.ts";
import { type BsdtarModules, packFrom, unpackInto } from "./bsdtar.ts";
import { syncFolder } from "./content.ts";
import { decompress } from "./decompress.ts";
import { type DiskProbe, withinRoom } from "./disk-room.ts";
import { DiskSync } from "./disk-sync.ts";
import { isWithin, planMarks } from "./layer-marks.ts";
import { findBelow, type LayerTree, linksBelow } from "./layers-below.ts";
import {
  emptyNotes,
  filterLayer,
  type FilterOptions,
  type LayerNotes,
  parentOf,
} from "./tar-filter.ts";
import { malformed } from "./tar-header.ts";
import { printable } from "./tar-reader.ts";
import type { PackedBlob } from "./packed-blob.ts";
import type { TemporaryFolder } from "./temporary-folder.ts";

export interface LayerModules extends BsdtarModules {
  readonly temporary: TemporaryFolder;
  readonly disk: DiskProbe;
}

export interface LayersOptions {
  readonly folder: string;
  /** Of one layer unpacked. */
  readonly layerBytesMax: number;
}

/** A layer in its place in an image. */
export interface LayerId {
  readonly diffId: string;
  /** Of this layer and all below it; see chainIds. */
  readonly chainId: string;
}

export interface Layer extends LayerTree {
  /** Of its folder. */
  readonly name: string;
  /** The contents of its files. */
  readonly sizeBytes: number;
  /** Whether it was completed from the layers below it, or would have been if there were any. */
  readonly leans: boolean;
}

const formatVersion = 1;

export class Layers {
  #options: LayersOptions;
  readonly #modules: LayerModules;
  readonly #sync: DiskSync;

  static async open(options: LayersOptions, modules: LayerModules): Promise<Layers> {
    await mkdir(options.folder, { recursive: true, mode: 0o711 });
    return new Layers(options, modules);
  }

  constructor(options: LayersOptions, modules: LayerModules) {
    this.#options = options;
    this.#modules = modules;
    this.#sync = new DiskSync(options.folder, modules);
  }

  /** The layer, if it is here. */
  async find({ diffId, chainId }: LayerId): Promise<Layer | undefined> {
    const layer = await this.#read(shortIdOf(diffId));
    if (layer !== undefined && (!layer.leans || chainId === diffId)) return layer;
    return chainId === diffId ? undefined : await this.#read(shortIdOf(chainId));
  }

  /**
   * Unpacks the layer in the blob, which may still be arriving; whoever unpacks the same one meanwhile: the first is kept. Undefined where it leans on
   * others: then `unpackOnto` is for it.
   */
  async unpack(id: LayerId, packed: PackedBlob, signal: AbortSignal): Promise<Layer | undefined> {
    await using folder = await this.#folder();
    const notes = emptyNotes();
    const isBase = id.chainId === id.diffId;
    try {
      await this.#unpackFile(folder.tree, packed, { id, signal, notes });
    } catch (error) {
      if (!isBase && isForeignLink(error)) return undefined;
      throw error;
    }
    const leans = notes.implicit.size > 0;
    if (leans && !isBase) return undefined;
    const opaque = await this.#mark(folder.tree, notes, signal);
    return await this.#publish(folder.path, id.diffId, { ...notes, opaque, leans });
  }

  /** Unpacks a layer that leans on those below it, base first. */
  async unpackOnto(
    below: readonly LayerTree[],
    id: LayerId,
    packed: PackedBlob,
    signal: AbortSignal,
  ): Promise<Layer> {
    const scanned = emptyNotes();
    const scan = filterLayer(decompress(packed, signal), { notes: scanned, takesForeign: true });
    for await (const _chunk of scan) signal.throwIfAborted();
    const places = [...scanned.implicit, ...[...scanned.foreign.values()].map(parentOf)].filter(
      (path) => !isHidden(path, scanned),
    );
    await using folder = await this.#folder();
    const notes = emptyNotes();
    await this.#unpackFile(folder.tree, packed, {
      id,
      signal,
      notes,
      takesForeign: true,
      linksBelow: await linksBelow(below, places),
    });
    await this.#adopt(folder.tree, below, notes, signal);
    const opaque = await this.#mark(folder.tree, notes, signal);
    return await this.#publish(folder.path, id.chainId, { ...notes, opaque, leans: true });
  }

  /** The names of all layers' folders. */
  async list(): Promise<readonly string[]> {
    return await readdir(this.#options.folder);
  }

  treeOf(name: string): string {
    return join(this.#options.folder, name, "tree");
  }

  async sizeOf(name: string): Promise<number> {
    return (await this.#read(name))?.sizeBytes ?? 0;
  }

  /** Takes the layer away, at once and whole, unless it is needed when its moment has come. */
  async remove(name: string, isNeeded: () => boolean): Promise<boolean> {
    await using gone = await this.#modules.temporary.folder();
    if (isNeeded()) return false;
    try {
      // In the same turn as the question.
      renameSync(join(this.#options.folder, name), join(gone.path, name));
      return true;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return false;
    }
  }

  /** Undefined also where it is damaged: then it is unpacked again. */
  async #read(name: string): Promise<Layer | undefined> {
    const folder = join(this.#options.folder, name);
    try {
      const layer = parseObject(parseJson(await readFile(join(folder, "layer.json"))), "the layer");
      if (layer["formatVersion"] !== formatVersion) return undefined;
      await access(this.treeOf(name));
      return {
        name,
        path: this.treeOf(name),
        sizeBytes: parseCount(layer["sizeBytes"], "sizeBytes"),
        leans: layer["leans"] === true,
        opaque: parseList(layer["opaque"], "opaque", parseText),
      };
    } catch (error) {
      const errno = errnoOf(error);
      if (error instanceof Fault || errno === "ENOENT" || errno === "ENOTDIR") return undefined;
      throw Fault.wrap(`Cannot read the layer in "${folder}"`, error);
    }
  }

  async #folder() {
    const folder = await this.#modules.temporary.folder();
    const tree = join(folder.path, "tree");
    await mkdir(tree, { mode: 0o755 });
    return {
      path: folder.path,
      tree,
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  }

  async #unpackFile(
    tree: string,
    packed: PackedBlob,
    work: FilterOptions & { readonly id: LayerId; readonly signal: AbortSignal },
  ): Promise<void> {
    const { id, signal } = work;
    const hash = createHash("sha256");
    const sync = this.#sync;
    const hashed = async function* () {
      for await (const chunk of decompress(packed, signal)) {
        hash.update(chunk);
        sync.onWritten(chunk.length);
        yield chunk;
      }
    };
    const archive = this.#withinRoom(tree, filterLayer(hashed(), work));
    await unpackInto(tree, archive, { signal }, this.#modules);
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual !== id.diffId) {
      throw new Fault("data-loss", `the layer ${id.diffId} unpacked to the digest ${actual}`);
    }
  }

  /** Copies from below what the layer leans on: its folders as they are there, and the targets of its hard links. */
  async #adopt(
    tree: string,
    below: readonly LayerTree[],
    notes: LayerNotes,
    signal: AbortSignal,
  ): Promise<void> {
    const folders = new Set(notes.implicit);
    const files = new Map<string, string[]>();
    for (const target of notes.foreign.values()) {
      for (let path = parentOf(target); !notes.folders.has(path); path = parentOf(path)) {
        folders.add(path);
      }
      const found = isHidden(target, notes) ? undefined : await findBelow(below, target);
      if (found === undefined || found.stats.isDirectory()) {
        throw malformed(`a hard link leads to "${printable(target)}", which is no file`);
      }
      push(files, found.layer.path, target);
    }
    notes.contentBytes += await this.#copy(tree, files, signal);
    const parents = new Map<string, string[]>();
    for (const path of folders) {
      const found = isHidden(path, notes) ? undefined : await findBelow(below, path);
      if (found?.stats.isDirectory() === true) push(parents, found.layer.path, path);
    }
    // After the files in them, which change their times.
    await this.#copy(tree, parents, signal);
  }

  limit(layerBytesMax: number): void {
    this.#options = { ...this.#options, layerBytesMax };
  }

  #withinRoom(path: string, archive: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    const { layerBytesMax } = this.#options;
    return withinRoom(archive, { path, layerBytesMax, probe: this.#modules.disk });
  }

  /** Returns how many bytes the copied files have. */
  async #copy(
    tree: string,
    wanted: ReadonlyMap<string, readonly string[]>,
    signal: AbortSignal,
  ): Promise<number> {
    let copiedBytes = 0;
    for (const [layer, paths] of wanted) {
      const packed = packFrom(layer, [...new Set(paths)], signal, this.#modules);
      const copied = emptyNotes();
      const archive = this.#withinRoom(tree, filterLayer(packed, { notes: copied }));
      await unpackInto(tree, archive, { signal }, this.#modules);
      copiedBytes += copied.contentBytes;
    }
    return copiedBytes;
  }

  /** Returns which folders are opaque now. */
  async #mark(tree: string, notes: LayerNotes, signal: AbortSignal): Promise<readonly string[]> {
    const { archive, opaque } = await planMarks(tree, notes);
    if (archive !== undefined) {
      await unpackInto(tree, Readable.from(archive), { signal }, this.#modules);
    }
    return opaque;
  }

  async #publish(
    path: string,
    id: string,
    about: { contentBytes: number; opaque: readonly string[]; leans: boolean },
  ): Promise<Layer> {
    const { contentBytes: sizeBytes, opaque, leans } = about;
    const text = JSON.stringify({ formatVersion, sizeBytes, leans, opaque });
    await writeFile(join(path, "layer.json"), text, { mode: 0o600 });
    await this.#sync.flush();
    const name = shortIdOf(id);
    const place = join(this.#options.folder, name);
    try {
      await rename(path, place);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== "ENOTEMPTY" && errno !== "EEXIST") throw error;
      const first = await this.#read(name);
      if (first !== undefined) return first;
      // A hand or a damaged disk took a part of the one that was there.
      await this.remove(name, () => false);
      await rename(path, place);
    }
    await syncFolder(this.#options.folder);
    return { name, path: this.treeOf(name), sizeBytes, opaque, leans };
  }
}

/** What each layer and all below it are together (OCI image-spec, config.md): of the base, its diffID. */
export function chainIds(diffIds: readonly string[]): readonly LayerId[] {
  let chainId = "";
  return diffIds.map((diffId) => {
    chainId = chainId === "" ? diffId : digestOf(Buffer.from(`${chainId} ${diffId}`));
    return { diffId, chainId };
  });
}

/** Whether the layer itself removes what the layers below have at the path. */
function isHidden(path: string, { removed, opaque }: LayerNotes): boolean {
  return removed.has(path) || isWithin(path, removed) || isWithin(path, opaque) || opaque.has("");
}

function isForeignLink(thrown: unknown): boolean {
  return /Hard-link target '.*' does not exist/.test(Fault.from(thrown).message);
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
