/** The digests of a folder's files, as sha256sum reads them: with them an installation finds out what is damaged. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { filesOf } from "./files-of.ts";

export async function manifestOf(folder: string): Promise<string> {
  const lines: string[] = [];
  for (const path of await filesOf(folder)) {
    const digest = createHash("sha256").update(await readFile(join(folder, path)));
    lines.push(`${digest.digest("hex")}  ${path}\n`);
  }
  return lines.join("");
}
