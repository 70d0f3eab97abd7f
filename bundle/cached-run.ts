/**
 * Stands in swarmctl's bundle where the sources have run.ts: runs the code beside it with what V8 has compiled of it, functions that
 * were called included. Node's own cache has none of those, so that each command compiled anew what it ran: a fifth of its time.
 *
 * What is kept lies in the user's own folder, and is used only where it is this user's: who can write it can have code run. It belongs
 * to these bytes and this Node; V8 refuses what is of another. While commands come that have not come before, it grows.
 */
import {
  fstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, Script } from "node:vm";
import type { run as runCommand } from "#swarmctl/run.ts";

/** Put in by the bundler. */
declare const codeHash: string;

/** Enough for the commands that somebody uses, and an end to writing where the words are always new. */
const knownMax = 40;

interface Kept {
  readonly hash: string;
  /** The commands that were run with it. */
  readonly commands: readonly string[];
}

type Run = typeof runCommand;

export const run: Run = async (argv, io) => {
  const file = fileURLToPath(new URL("swarmctl-code.cjs", import.meta.url));
  const home = io.env["XDG_CACHE_HOME"] ?? io.env["HOME"];
  const cache = home === undefined ? undefined : join(home, ".cache", "swarmctl", "code");
  const kept = cache === undefined ? undefined : readCache(cache);
  const script = new Script(wrapped(readFileSync(file, "latin1")), {
    filename: file,
    ...(kept !== undefined && { cachedData: kept.data }),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module: { exports: { run?: Run } } = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(import.meta.url), module, import.meta);
  const { run } = module.exports;
  if (run === undefined) throw new Error(`${file} exports no run`);
  try {
    return await run(argv, io);
  } finally {
    const known = script.cachedDataRejected === false ? (kept?.commands ?? []) : [];
    const command = argv
      .filter((word) => !word.startsWith("-"))
      .slice(0, 2)
      .join(" ");
    if (cache !== undefined && !known.includes(command) && known.length < knownMax) {
      writeCache(cache, [...known, command], script.createCachedData());
    }
  }
};

function wrapped(code: string): string {
  return `(function(exports,require,module,importMeta){${code}\n})`;
}

function readCache(path: string): { commands: readonly string[]; data: Buffer } | undefined {
  try {
    const descriptor = openSync(path, "r");
    try {
      if (fstatSync(descriptor).uid !== process.getuid?.()) return undefined;
      const bytes = readFileSync(descriptor);
      const end = bytes.indexOf("\n");
      const { hash, commands } = JSON.parse(bytes.toString("utf8", 0, end)) as Kept;
      return hash === codeHash ? { commands, data: bytes.subarray(end + 1) } : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // There is none yet, or it is of no use: then it is made.
    return undefined;
  }
}

function writeCache(path: string, commands: readonly string[], data: Buffer): void {
  const head = JSON.stringify({ hash: codeHash, commands } satisfies Kept);
  const unfinished = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(unfinished, Buffer.concat([Buffer.from(`${head}\n`), data]), { mode: 0o600 });
    renameSync(unfinished, path);
  } catch {
    // A home that cannot be written makes commands slower, not wrong.
  }
}
