/** What is in the packages of a version whatever the processor: the programs, and what is made from their tables. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { writeBundle } from "#bundle/bundle.ts";
import { systemClock } from "#proto/system-ports.ts";
import { readCliTable } from "#swarmctl/cli-table.ts";
import { scripts } from "#swarmctl/completion/scripts.ts";
import { defaultConfigFile } from "#swarmd/config-file.ts";
import { manPages } from "./man-pages.ts";
import type { PageOrigin } from "./roff.ts";
import { runProgram } from "./run-program.ts";

const buildFastPath = fileURLToPath(new URL("../agent/network/fastpath/build.sh", import.meta.url));

export interface Contents extends PageOrigin {
  /** The folder that `writeBundle` made. */
  readonly bundle: string;
  /** What is made from tables, by its path on the host without the first slash. */
  readonly texts: ReadonlyMap<string, string | Uint8Array>;
}

/** `work`: a folder for what they are made of. */
export async function makeContents(work: string, origin: PageOrigin): Promise<Contents> {
  const fastPathObject = join(work, "fastpath.o");
  await runProgram(["sh", buildFastPath, fastPathObject]);
  const bundle = join(work, "bundle");
  await writeBundle({ target: bundle, version: origin.version, fastPathObject });
  return { ...origin, bundle, texts: await writtenTexts(origin) };
}

async function writtenTexts(origin: PageOrigin): Promise<Contents["texts"]> {
  const cli = await readCliTable({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: {},
    clock: systemClock,
    signal: new AbortController().signal,
  });
  const pages = [...manPages(cli, origin)].map(
    ([path, text]) => [`usr/share/man/${path}.gz`, gzipSync(text, { level: 9 })] as const,
  );
  return new Map<string, string | Uint8Array>([
    ["etc/swarm/swarmd.yml", defaultConfigFile()],
    ["usr/share/bash-completion/completions/swarmctl", scripts.bash],
    ["usr/share/zsh/vendor-completions/_swarmctl", scripts.zsh],
    ["usr/share/fish/vendor_completions.d/swarmctl.fish", scripts.fish],
    ...pages,
  ]);
}
