/** For tests: all that can be said of a folder's tree, as values to compare. */
import { readdir, readlink, lstat } from "node:fs/promises";
import { systemExec } from "../../exec.ts";
import { systemClock } from "#proto/system-ports.ts";
import { digestOf } from "#registry/digest.ts";
import { readFile } from "node:fs/promises";
import { packFrom } from "../bsdtar.ts";
import { ByteReader } from "../byte-reader.ts";
import { pathInside } from "../layer-marks.ts";
import { paddingOf } from "../tar-header.ts";
import { readEntry } from "../tar-reader.ts";

export interface TreeNode {
  readonly mode: string;
  readonly owner: string;
  readonly mtimeNs: string;
  readonly sizeBytes: number;
  readonly device: number;
  readonly content: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** The first of the names of the same file. */
  readonly group: string;
}

/** By path, the root left out. */
export async function readTree(root: string): Promise<ReadonlyMap<string, TreeNode>> {
  const nodes = new Map<string, TreeNode>();
  const groups = new Map<bigint, string>();
  const paths = (await listTree(root, "")).toSorted();
  const attributes = await readAttributes(root, paths);
  for (const path of paths) {
    const at = pathInside(root, path);
    const stats = await lstat(at, { bigint: true });
    const group = stats.isDirectory() ? path : (groups.get(stats.ino) ?? path);
    groups.set(stats.ino, group);
    nodes.set(path, {
      mode: stats.mode.toString(8),
      owner: `${stats.uid}:${stats.gid}`,
      mtimeNs: stats.mtimeNs.toString(),
      sizeBytes: stats.isDirectory() ? 0 : Number(stats.size),
      device: Number(stats.rdev),
      content: stats.isFile()
        ? digestOf(await readFile(at))
        : stats.isSymbolicLink()
          ? await readlink(at, { encoding: "latin1" })
          : "",
      attributes: attributes.get(path) ?? {},
      group,
    });
  }
  return nodes;
}

async function listTree(root: string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  const entries = await readdir(pathInside(root, folder), {
    encoding: "latin1",
    withFileTypes: true,
  });
  for (const entry of entries) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    paths.push(path);
    if (entry.isDirectory()) paths.push(...(await listTree(root, path)));
  }
  return paths;
}

/** By letting bsdtar pack them: Node cannot read attributes. */
async function readAttributes(root: string, paths: readonly string[]) {
  const found = new Map<string, Record<string, string>>();
  if (paths.length === 0) return found;
  const modules = { exec: systemExec, clock: systemClock };
  const reader = new ByteReader(packFrom(root, paths, AbortSignal.timeout(60_000), modules));
  while (true) {
    const entry = await readEntry(reader);
    if (entry === undefined) break;
    await reader.skip(entry.sizeBytes + paddingOf(entry.sizeBytes));
    const attributes = [...entry.records].filter(([key]) => key.startsWith("SCHILY.xattr."));
    found.set(entry.name, Object.fromEntries(attributes));
  }
  await reader.drain();
  return found;
}
