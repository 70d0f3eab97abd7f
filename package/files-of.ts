/** What is in a folder. */
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";

/** All files below `folder`, by their paths from there, sorted. */
export async function filesOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}
