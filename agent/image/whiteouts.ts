/**
 * Whiteouts in overlayfs's form (kernel: Documentation/filesystems/overlayfs.rst): a removed path is a character device
 * 0/0, an opaque folder has the attribute trusted.overlay.opaque=y. Node can make neither and no other program on the
 * host has to: bsdtar makes both from a small archive that is written here.
 */
import { lstat, realpath } from "node:fs/promises";
import type { Stats } from "node:fs";
import { errnoOf } from "#proto/fault.ts";
import {
  blockBytes,
  encodeEntry,
  malformed,
  type PaxRecords,
  type TarEntry,
} from "./tar-header.ts";
import type { Whiteouts } from "./tar-filter.ts";

const opaqueRecord = ["SCHILY.xattr.trusted.overlay.opaque", "y"] as const;

/**
 * The archive that, unpacked over the layer's folder, adds its whiteouts; undefined where there are none. A folder that
 * gets a device is named too, with what it has now, because the new entry changes its time.
 */
export async function planWhiteouts(
  root: string,
  whiteouts: Whiteouts,
): Promise<Buffer | undefined> {
  const opaque = new Set(whiteouts.opaque);
  const touched = new Set(opaque);
  const devices: TarEntry[] = [];
  for (const path of whiteouts.removed) {
    const there = await statInside(root, path);
    if (there === undefined) {
      devices.push({ name: path, type: "character-device", mode: 0, records: new Map() });
      touched.add(parentOf(path));
    } else if (there.isDirectory()) {
      // Removed below and made anew here: nothing of the old folder shows through.
      opaque.add(path);
      touched.add(path);
    }
  }
  const folders: TarEntry[] = [];
  for (const path of touched) folders.push(...(await folderEntry(root, path, opaque.has(path))));
  // Folders last: bsdtar sets the time of a folder that exists at once, and a new device in it would change it again.
  const blocks = [...devices, ...folders].flatMap(encodeEntry);
  return blocks.length === 0 ? undefined : Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)]);
}

async function folderEntry(root: string, path: string, isOpaque: boolean): Promise<TarEntry[]> {
  const stats = await statInside(root, path);
  if (stats !== undefined && !stats.isDirectory()) throw malformed(`"${path}" is no folder`);
  if (stats === undefined && !isOpaque) return [];
  const records = new Map([...ownership(stats), ...(isOpaque ? [opaqueRecord] : [])]);
  const mode = stats === undefined ? 0o755 : stats.mode & 0o7777;
  return [{ name: `./${path}`, type: "folder", mode, records }];
}

function ownership(stats: Stats | undefined): PaxRecords {
  if (stats === undefined) return new Map();
  return new Map([
    ["uid", String(stats.uid)],
    ["gid", String(stats.gid)],
    ["mtime", String(stats.mtimeMs / 1000)],
  ]);
}

/** What stands at the path, links not followed; a layer's link must not lead the look-up out of its folder. */
async function statInside(root: string, path: string): Promise<Stats | undefined> {
  const bytes = (relative: string) =>
    Buffer.concat([Buffer.from(`${root}/`), Buffer.from(relative, "latin1")]);
  try {
    const folder = await realpath(bytes(parentOf(path)), { encoding: "latin1" });
    const wanted = Buffer.concat([Buffer.from(root), slashed(parentOf(path))]).toString("latin1");
    if (folder !== wanted) throw malformed(`"${path}" leads through a link`);
    return await lstat(bytes(path));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function slashed(relative: string): Buffer {
  return Buffer.from(relative === "" ? "" : `/${relative}`, "latin1");
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}
