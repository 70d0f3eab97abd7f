/**
 * Stands in swarmctl's bundle where the sources have run.ts: runs the code beside it with what V8 has compiled of it, functions that
 * were called included. Node's own cache has none of those, so that each command compiled anew what it ran: a fifth of its time.
 *
 * What is kept lies in the user's own folder, and is used only where nobody else can write it: who can, can have code run. It belongs
 * to these bytes and this Node; V8 refuses what is of another, and dies of what is damaged, so that it has a checksum. While
 * commands come that have not come before, it grows.
 */
import {
  closeSync,
  constants as fileFlag,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, Script } from "node:vm";
import { crc32 } from "node:zlib";
import { cacheFolder, isOwn } from "#swarmctl/cache-folder.ts";
import type { run as runCommand } from "#swarmctl/run.ts";

/** Put in by the bundler. */
declare const codeHash: string;

/** Enough for the commands that somebody uses, and an end to writing where the words are always new. */
const knownMax = 40;

interface Kept {
  readonly hash: string;
  /** Of what follows. */
  readonly checksum: number;
  /** The commands that were run with it. */
  readonly commands: readonly string[];
}

type Run = typeof runCommand;

export const run: Run = async (argv, io) => {
  const file = fileURLToPath(new URL("swarmctl-code.cjs", import.meta.url));
  const folder = cacheFolder(io.env);
  const cache = folder === undefined ? undefined : join(folder, "code");
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
    const command = commandOf(argv);
    if (cache !== undefined && !known.includes(command) && known.length < knownMax) {
      writeCache(cache, [...known, command], script.createCachedData());
    }
  }
};

/** Up to the first option: what follows it may be a password. */
function commandOf(argv: readonly string[]): string {
  const options = argv.findIndex((word) => word.startsWith("-"));
  return argv.slice(0, options === -1 ? 2 : Math.min(options, 2)).join(" ");
}

function wrapped(code: string): string {
  return `(function(exports,require,module,importMeta){${code}\n})`;
}

function readCache(path: string): { commands: readonly string[]; data: Buffer } | undefined {
  try {
    const descriptor = openSync(path, fileFlag.O_RDONLY | fileFlag.O_NOFOLLOW);
    try {
      if (!isOwn(fstatSync(descriptor))) return undefined;
      const bytes = readFileSync(descriptor);
      const end = bytes.indexOf("\n");
      const { hash, checksum, commands } = JSON.parse(bytes.toString("utf8", 0, end)) as Kept;
      const data = bytes.subarray(end + 1);
      return hash === codeHash && checksum === crc32(data) ? { commands, data } : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // There is none yet, or it is of no use: then it is made.
    return undefined;
  }
}

function writeCache(path: string, commands: readonly string[], data: Buffer): void {
  const kept: Kept = { hash: codeHash, checksum: crc32(data), commands };
  const unfinished = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify(kept)}\n`), data]);
    // Follows no link, and writes into nothing that is there.
    writeFileSync(unfinished, bytes, { flag: "wx", mode: 0o600 });
    renameSync(unfinished, path);
  } catch {
    // A home that cannot be written makes commands slower, not wrong.
    removeUnfinished(unfinished);
  }
}

/** A disk that is full shall not be filled by what could not be finished. */
function removeUnfinished(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Nor can it be removed then.
  }
}
