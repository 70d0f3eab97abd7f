/**
 * Goes over a layer's tar stream on its way to bsdtar: takes out what means something to image layers and nothing to
 * tar (whiteouts), refuses what no layer may contain, and passes the rest on. It keeps one header and one piece of
 * content in memory, and of names those of folders and symbolic links.
 *
 * Invariants: bsdtar sees an archive in one plain dialect that reads the same to it and to this filter, so nothing can be
 * hidden from the filter by being ambiguous. No name in it leads through a symbolic link that came before.
 */
import { ByteReader } from "./byte-reader.ts";
import { LinkResolver } from "./link-resolver.ts";
import {
  blockBytes,
  encodeEntry,
  encodeLongName,
  encodePax,
  linkTypes,
  malformed,
  paddingOf,
  withSize,
} from "./tar-header.ts";
import { printable, type ReadEntry, readEntry } from "./tar-reader.ts";

/** What was found on the way. Names are byte strings (latin1), relative and clean. */
export interface LayerNotes {
  /** Paths that the layer removes from the layers below it. */
  readonly removed: Set<string>;
  /** Folders of which the layer hides everything in the layers below it. */
  readonly opaque: Set<string>;
  /** Folders that the layer only has things in: what they are themselves, a layer below says. */
  readonly implicit: Set<string>;
  /** Hard links that were taken out, because their targets are in no entry before them: name to target. */
  readonly foreign: Map<string, string>;
  /** Folders that the layer says all about. */
  readonly folders: Set<string>;
  /**
   * The last entry, for bsdtar, of folders that were there before it. bsdtar gives a folder its time at the end of the
   * archive, and then that of its first entry; or at once, where it made the folder for what is in it.
   */
  readonly repeated: Map<string, readonly Buffer[]>;
  /** The contents of the files, added up. */
  contentBytes: number;
}

export interface FilterOptions {
  readonly notes: LayerNotes;
  /** Symbolic links of the layers below in the way of this one's names, by their paths. */
  readonly linksBelow?: ReadonlyMap<string, string>;
  /** Whether hard links to what the layers below have are taken out and noted. Costs memory for all names of files. */
  readonly takesForeign?: true;
}

export function emptyNotes(): LayerNotes {
  return {
    removed: new Set(),
    opaque: new Set(),
    implicit: new Set(),
    foreign: new Map(),
    folders: new Set([""]),
    repeated: new Map(),
    contentBytes: 0,
  };
}

/** Output is collected up to this: one write per small file would be many system calls. */
const outputBytes = 64 * 1024;

/**
 * What is remembered of one layer: of each name its bytes and what a place in a set costs. Room for a million names as
 * they are; a small blob could have as many of the longest to fill our memory.
 */
const rememberedBytesMax = 256 * 1024 * 1024;
const placeBytes = 100;

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

/** Files of aufs's own; only the opaque marker among them means something here. */
const aufsPrefix = ".wh..wh.";

export async function* filterLayer(
  source: AsyncIterable<Buffer>,
  options: FilterOptions,
): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of new Filter(options).entries(new ByteReader(source))) {
    pending.push(chunk);
    pendingBytes += chunk.length;
    if (pendingBytes < outputBytes) continue;
    yield Buffer.concat(pending, pendingBytes);
    pending = [];
    pendingBytes = 0;
  }
  yield Buffer.concat(pending, pendingBytes);
}

class Filter {
  readonly #notes: LayerNotes;
  readonly #links: LinkResolver;
  /** Names of what can be the target of a hard link; undefined where nobody asks. */
  readonly #names: Set<string> | undefined;
  #rememberedBytes = 0;

  constructor(options: FilterOptions) {
    this.#notes = options.notes;
    this.#links = new LinkResolver(options.linksBelow);
    this.#names = options.takesForeign ? new Set() : undefined;
  }

  async *entries(reader: ByteReader): AsyncGenerator<Buffer> {
    // bsdtar guesses formats by an archive's first bytes, which are the first entry's name: it shall not be a foreign one.
    yield* encodeEntry({ name: "./", type: "folder", mode: 0o755, records: new Map() });
    while (true) {
      const entry = await readEntry(reader);
      if (entry === undefined) break;
      const contentBytes = entry.sizeBytes + paddingOf(entry.sizeBytes);
      const blocks = this.#take(entry);
      if (blocks === undefined) {
        await reader.skip(contentBytes);
        continue;
      }
      this.#notes.contentBytes += entry.sizeBytes;
      yield* blocks;
      yield* reader.pieces(contentBytes);
    }
    yield Buffer.alloc(2 * blockBytes);
    // What follows the end mark is part of the layer's digest, not of its tree.
    await reader.drain();
  }

  /** The entry's headers for bsdtar; undefined where it is not for bsdtar. */
  #take(entry: ReadEntry): readonly Buffer[] | undefined {
    const name = this.#links.resolve(entry.name);
    this.#noteParents(name);
    if (this.#takeWhiteout(name)) return undefined;
    const isAgain = entry.type === "5" && this.#noteFolder(name);
    if (entry.type === "2") {
      this.#remember(name.length + entry.linkName.length);
      this.#links.add(name, entry.linkName);
    } else this.#links.remove(name);
    const linkName = entry.type === "1" ? this.#links.resolve(entry.linkName) : entry.linkName;
    if (entry.type === "1" && this.#takeForeign(name, linkName)) return undefined;
    const blocks = encode({ ...entry, name, linkName });
    if (isAgain) {
      this.#remember(blocks.reduce((bytes, block) => bytes + block.length, 0));
      this.#notes.repeated.set(name, blocks);
    }
    if (entry.type !== "5") this.#noteFile(name);
    return blocks;
  }

  #remember(bytes: number): void {
    this.#rememberedBytes += bytes + placeBytes;
    if (this.#rememberedBytes > rememberedBytesMax) {
      throw malformed("the names of its folders and links are too many or too long");
    }
  }

  /** Whether the folder is there already, by an entry of its own or because of what is in it. */
  #noteFolder(name: string): boolean {
    const { folders, implicit } = this.#notes;
    this.#remember(name.length);
    const isAgain = implicit.delete(name) || folders.has(name);
    folders.add(name);
    return isAgain;
  }

  #noteFile(name: string): void {
    const { folders, implicit, repeated } = this.#notes;
    if (this.#names?.has(name) === false) {
      this.#remember(name.length);
      this.#names.add(name);
    }
    const wasFolder = folders.delete(name) || implicit.delete(name);
    repeated.delete(name);
    if (wasFolder) this.#forgetBelow(name);
  }

  /** What was a folder is something else now: nothing is in it, and nothing of the layers below it shows. */
  #forgetBelow(name: string): void {
    const { folders, implicit, opaque, removed, repeated, foreign } = this.#notes;
    for (const noted of [folders, implicit, opaque, removed, repeated, foreign]) {
      for (const path of noted.keys()) if (path.startsWith(`${name}/`)) noted.delete(path);
    }
    opaque.delete(name);
  }

  #noteParents(name: string): void {
    const { folders, implicit } = this.#notes;
    for (let path = parentOf(name); !folders.has(path) && !implicit.has(path); ) {
      this.#remember(path.length);
      implicit.add(path);
      path = parentOf(path);
    }
  }

  #takeForeign(name: string, target: string): boolean {
    if (this.#names === undefined || this.#names.has(target)) return false;
    this.#remember(name.length + target.length);
    this.#notes.foreign.set(name, target);
    this.#names.add(name);
    return true;
  }

  /** Notes what the entry means if it is a whiteout, and tells whether it is. */
  #takeWhiteout(path: string): boolean {
    const { opaque, removed } = this.#notes;
    const folder = parentOf(path);
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (!name.startsWith(whiteoutPrefix)) return false;
    this.#remember(path.length);
    if (name === opaqueMarker) opaque.add(folder);
    if (name.startsWith(aufsPrefix)) return true;
    const wanted = name.slice(whiteoutPrefix.length);
    if (wanted === "" || wanted === "." || wanted === "..") {
      throw malformed(`"${printable(path)}" removes nothing`);
    }
    removed.add(folder === "" ? wanted : `${folder}/${wanted}`);
    return true;
  }
}

function encode(entry: ReadEntry): readonly Buffer[] {
  const isLink = linkTypes.includes(entry.type);
  const slash = entry.type === "5" && entry.name !== "" ? "/" : "";
  // "./" keeps a name from being an option or a drive to anybody.
  return [
    ...encodeLongName("L", `./${entry.name}${slash}`),
    ...(isLink
      ? encodeLongName("K", entry.type === "1" ? `./${entry.linkName}` : entry.linkName)
      : []),
    ...encodePax(entry.records),
    withSize(entry.header, entry.sizeBytes),
    ...entry.sparseMap,
  ];
}

/** The folder that the path is in; "" is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}
