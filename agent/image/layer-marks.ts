/**
 * What a layer's tree gets after its files: whiteouts in overlayfs's form (kernel: Documentation/filesystems/
 * overlayfs.rst), where a removed path is a character device 0/0 and an opaque folder has the attribute
 * trusted.overlay.opaque=y; and hard links to files that came from the layers below. Node can make none of them and no
 * other program on the host has to: bsdtar makes all from a small archive that is written here.
 */
import { lstat, realpath } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import { errnoOf } from "#proto/fault.ts";
import {
  blockBytes,
  encodeEntry,
  malformed,
  type PaxRecords,
  type TarEntry,
} from "./tar-header.ts";
import { type LayerNotes, parentOf } from "./tar-filter.ts";
import { printable } from "./tar-reader.ts";

const noRecords: PaxRecords = new Map();
const opaqueRecord = ["SCHILY.xattr.trusted.overlay.opaque", "y"] as const;

export interface LayerMarks {
  /** The archive that, unpacked over the layer's folder, adds them; undefined where there are none. Encoded as it is read. */
  readonly archive: Iterable<Buffer> | undefined;
  /** The folders that hide everything below them, also because the layer removed one and made it anew. */
  readonly opaque: readonly string[];
}

/** A folder that gets something new is named too, with what it has now, because the new entry changes its time. */
export async function planMarks(root: string, notes: LayerNotes): Promise<LayerMarks> {
  // A folder before what is in it: nothing can be marked in one that is gone.
  const gone = new Set<string>();
  const byDepth = (paths: Iterable<string>) => [...paths].toSorted((a, b) => a.length - b.length);
  const opaque = new Set<string>();
  const touched = new Set<string>();
  const entries: TarEntry[] = [];
  for (const path of byDepth(notes.removed)) {
    if (isWithin(path, gone)) continue;
    const there = await statInside(root, path);
    if (there === "covered") continue;
    if (there === undefined) {
      entries.push({ name: path, type: "character-device", mode: 0, records: noRecords });
      gone.add(path);
      touched.add(parentOf(path));
    } else if (there.isDirectory()) {
      // Removed below and made anew here: nothing of the old folder shows through.
      opaque.add(path);
    }
  }
  for (const path of notes.opaque) if (!gone.has(path) && !isWithin(path, gone)) opaque.add(path);
  for (const path of opaque) touched.add(path);
  for (const [name, linkName] of notes.foreign) {
    entries.push({ name, linkName, type: "hard-link", mode: 0, records: noRecords });
    touched.add(parentOf(name));
  }
  // Folders last: bsdtar sets the time of a folder that exists at once, and a new device in it would change it again.
  for (const path of touched) entries.push(...(await folderEntry(root, path, opaque.has(path))));
  const isEmpty = entries.length === 0 && notes.repeated.size === 0;
  return {
    archive: isEmpty ? undefined : archiveOf(entries, notes.repeated.values()),
    opaque: [...opaque],
  };
}

function* archiveOf(
  entries: Iterable<TarEntry>,
  repeated: Iterable<readonly Buffer[]>,
): Generator<Buffer> {
  for (const entry of entries) yield Buffer.concat(encodeEntry(entry));
  for (const blocks of repeated) yield* blocks;
  yield Buffer.alloc(2 * blockBytes);
}

/** Whether the path is below one of the others. */
export function isWithin(path: string, others: ReadonlySet<string>): boolean {
  if (others.size === 0) return false;
  for (let above = parentOf(path); above !== ""; above = parentOf(above)) {
    if (others.has(above)) return true;
  }
  return false;
}

async function folderEntry(root: string, path: string, isOpaque: boolean): Promise<TarEntry[]> {
  const stats = await statInside(root, path);
  if (stats === "covered") return [];
  // The layer itself put something else in the folder's place, which hides it as well.
  if (stats !== undefined && !stats.isDirectory()) return [];
  if (stats === undefined && !isOpaque) return [];
  const records = new Map([...ownership(stats), ...(isOpaque ? [opaqueRecord] : [])]);
  const mode = stats === undefined ? 0o755 : Number(stats.mode) & 0o7777;
  return [{ name: `./${path}`, type: "folder", mode, records }];
}

function ownership(stats: BigIntStats | undefined): PaxRecords {
  if (stats === undefined) return new Map();
  return new Map([
    ["uid", String(stats.uid)],
    ["gid", String(stats.gid)],
    ["mtime", formatTime(stats.mtimeNs)],
  ]);
}

/** Seconds with nine digits behind the point. */
function formatTime(ns: bigint): string {
  const sign = ns < 0n ? "-" : "";
  const digits = String(ns < 0n ? -ns : ns).padStart(10, "0");
  return `${sign}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/**
 * What stands at the path, links not followed; a layer's link must not lead the look-up out of its folder. "covered" where
 * the layer has a file in the place of one of the path's folders, which hides all that is below it anyway.
 */
async function statInside(
  root: string,
  path: string,
): Promise<BigIntStats | "covered" | undefined> {
  try {
    const folder = await realpath(pathInside(root, parentOf(path)), { encoding: "latin1" });
    const wanted = pathInside(root, parentOf(path)).toString("latin1").replace(/\/$/, "");
    if (folder !== wanted) throw malformed(`"${printable(path)}" leads through a link`);
    return await lstat(pathInside(root, path), { bigint: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "ENOTDIR") return "covered";
    throw error;
  }
}

/** Names in layers are bytes; the root is a path of ours. */
export function pathInside(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}
