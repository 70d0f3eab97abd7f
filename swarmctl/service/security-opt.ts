/** --security-opt: what it says may stand in a file. */
import { readFile } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import { isSeccompFile } from "#stacks/host-access-words.ts";

/** The same options, with the profile in place of `seccomp=FILE`. */
export async function readSecurityOpts(texts: readonly string[] = []): Promise<string[]> {
  return await Promise.all(texts.map(readSecurityOpt));
}

async function readSecurityOpt(text: string): Promise<string> {
  const file = /^seccomp[:=](?<file>.*)$/s.exec(text)?.groups?.["file"] ?? "";
  if (!isSeccompFile(file)) return text;
  try {
    return `seccomp=${(await readFile(file, "utf8")).trim()}`;
  } catch (thrown) {
    throw Fault.wrap(`Cannot read the seccomp profile "${file}"`, thrown);
  }
}
