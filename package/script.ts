/** Shell scripts of this folder, which are one file each on a host: what two of them share is put into both. */
import { readFile } from "node:fs/promises";

/** A line "#include NAME" stands for what that file has. */
export async function readScript(name: string): Promise<string> {
  const read = (path: string) => readFile(new URL(path, import.meta.url), "utf8");
  const lines: string[] = [];
  for (const line of (await read(name)).split("\n")) {
    const included = /^#include (\S+)$/.exec(line)?.[1];
    lines.push(included === undefined ? line : (await read(included)).trimEnd());
  }
  return lines.join("\n");
}
