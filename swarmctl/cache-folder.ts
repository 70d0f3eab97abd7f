/**
 * Where commands keep what was compiled of them: in the user's own folder. Whoever can write there can have code run, so that
 * there is none where that is somebody else too, or another alone: with sudo, HOME may be that of who called it.
 */
import { statSync } from "node:fs";
import { isAbsolute, join } from "node:path";

/** Bits of a file's mode. */
const othersWrite = 0o022;

/** Undefined where nothing shall be kept. */
export function cacheFolder({ XDG_CACHE_HOME, HOME = "" }: NodeJS.ProcessEnv): string | undefined {
  const base = XDG_CACHE_HOME || HOME;
  if (!isAbsolute(base)) return undefined;
  try {
    if (!isOwn(statSync(base))) return undefined;
  } catch {
    // There is no such folder.
    return undefined;
  }
  return XDG_CACHE_HOME ? join(base, "swarmctl") : join(base, ".cache", "swarmctl");
}

/** Whether nobody but this user, and root, could have written it. */
export function isOwn({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  return uid === process.getuid?.() && (mode & othersWrite) === 0;
}
