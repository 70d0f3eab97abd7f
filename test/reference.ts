/**
 * The reference of the commands in docs/: written anew by `npm run reference`, compared by `npm run check`, so that it says
 * what the commands do.
 * usage: node test/reference.ts [--check]
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "#proto/system-ports.ts";
import { reference } from "#swarmctl/reference.ts";

const path = fileURLToPath(new URL("../docs/cli.md", import.meta.url));
const text = await reference({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: {},
  clock: systemClock,
  signal: new AbortController().signal,
});
if (!process.argv.includes("--check")) {
  await writeFile(path, text);
} else if (text !== (await readFile(path, "utf8"))) {
  process.stderr.write("docs/cli.md is not what the commands say: run npm run reference\n");
  process.exitCode = 1;
}
