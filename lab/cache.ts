/**
 * What is costly to build and the same for every lab: built once per machine, into the cache folder, under a name that says
 * which recipe it was. Whoever finds an entry finds it complete; two who want the same take turns.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { lockFile } from "./lock-file.ts";

export interface EnsureOptions {
  readonly signal?: AbortSignal;
  /** Told when something has to be built. */
  readonly onStep?: (step: string) => void;
}

export interface CacheEntry {
  readonly name: string;
  /** Completes "building …, once on this machine". */
  readonly what: string;
  /** Makes what is wanted in WORK/result; the rest of the folder is removed. */
  readonly build: (work: string, signal: AbortSignal | undefined) => Promise<void>;
}

export function cacheFolder(): string {
  return process.env["SWARM_LAB_CACHE"] ?? "/var/cache/swarm-lab";
}

/** The path of the entry, built if this machine does not have it yet. */
export async function ensureCached(entry: CacheEntry, options: EnsureOptions): Promise<string> {
  const { signal, onStep } = options;
  const cache = cacheFolder();
  const path = join(cache, entry.name);
  if (existsSync(path)) return path;
  await mkdir(cache, { recursive: true });
  await using _ = await lockFile(join(cache, `${entry.name}.lock`), signal);
  if (existsSync(path)) return path;
  onStep?.(`building ${entry.what}, once on this machine`);
  const work = await mkdtemp(join(cache, `${entry.name}.new-`));
  try {
    await entry.build(work, signal);
    await rename(join(work, "result"), path);
  } catch (thrown) {
    throw Fault.wrap(`Cannot build ${entry.what}`, thrown);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return path;
}
