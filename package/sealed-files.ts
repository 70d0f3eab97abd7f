/** The digests of a folder's files, as sha256sum reads them: with them an installation finds out what is damaged. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Sorted by name, links left out. */
export async function manifestOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
  const lines: string[] = [];
  for (const path of paths) {
    const digest = createHash("sha256").update(await readFile(join(folder, path)));
    lines.push(`${digest.digest("hex")}  ${path}\n`);
  }
  return lines.join("");
}
