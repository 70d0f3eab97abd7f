/**
 * What a path is in the merged tree of some layers, as overlayfs would show it, found without mounting them. For layers
 * that lean on those below them: folders of which they only have the contents, hard links to files that they do not have.
 */
import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { errnoOf } from "#proto/fault.ts";
import { pathInside } from "./layer-marks.ts";

export interface LayerTree {
  /** Absolute; ready as an overlayfs lowerdir. */
  readonly path: string;
  /** Folders of which this layer hides what is below; byte strings. */
  readonly opaque: readonly string[];
}

export interface FoundBelow {
  readonly layer: LayerTree;
  readonly stats: Stats;
}

/** The topmost layer's. Links in the path's folders are not followed: what is behind them counts as not there. */
export async function findBelow(
  layers: readonly LayerTree[],
  path: string,
): Promise<FoundBelow | undefined> {
  for (const layer of layers.toReversed()) {
    const found = await findIn(layer, path);
    if (found === "hidden") return undefined;
    if (found !== "absent") return { layer, stats: found };
  }
  return undefined;
}

/** The targets of those of the paths that are symbolic links below. */
export async function linksBelow(
  layers: readonly LayerTree[],
  paths: Iterable<string>,
): Promise<ReadonlyMap<string, string>> {
  const links = new Map<string, string>();
  for (const path of paths) {
    const found = await findBelow(layers, path);
    if (found?.stats.isSymbolicLink() !== true) continue;
    links.set(path, await readlink(pathInside(found.layer.path, path), { encoding: "latin1" }));
  }
  return links;
}

async function findIn(layer: LayerTree, path: string): Promise<Stats | "absent" | "hidden"> {
  const opaque = new Set(layer.opaque);
  let here = "";
  let isHidden = opaque.has("");
  for (const name of path.split("/")) {
    here = here === "" ? name : `${here}/${name}`;
    const stats = await statIfThere(pathInside(layer.path, here));
    if (stats === undefined) return isHidden ? "hidden" : "absent";
    const isWhiteout = stats.isCharacterDevice() && stats.rdev === 0;
    if (isWhiteout) return "hidden";
    if (here === path) return stats;
    if (!stats.isDirectory()) return "hidden";
    isHidden ||= opaque.has(here);
  }
  return "absent";
}

async function statIfThere(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
