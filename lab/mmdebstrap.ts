/** Makes Debian root folders with mmdebstrap, from the mirror that this machine uses for its own packages, if it uses one. */
import { run } from "./process.ts";

const timeoutMs = 600_000;

/** In namespaces of its own, so that what mmdebstrap starts and mounts ends with it even when it is killed. */
const apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

export interface DebianRecipe {
  readonly suite: string;
  /** The root folder to make, or /dev/null where hooks take what they want out of it. */
  readonly target: string;
  /** For what mmdebstrap keeps while it works. */
  readonly work: string;
  readonly options: readonly string[];
  readonly signal: AbortSignal | undefined;
}

export async function mmdebstrap(recipe: DebianRecipe): Promise<void> {
  const { suite, target, work, options, signal } = recipe;
  const env = { ...process.env, TMPDIR: work };
  const running = { timeoutMs, env, ...(signal === undefined ? {} : { signal }) };
  const format = "$(REPO_URI) $(CODENAME)";
  const query = ["apt-get", "indextargets", "--format", format, "Origin: Debian"];
  const mirror = parseMirror(await run(query, running));
  const argv = ["mmdebstrap", "--quiet", "--variant=minbase", ...options, suite, target];
  await run([...apart, ...argv, ...(mirror === undefined ? [] : [mirror])], running);
}

/** The mirror of the release itself, from what `apt-get indextargets` says of each index. */
export function parseMirror(indexTargets: string): string | undefined {
  const targets = indexTargets.split("\n").map((line) => line.split(" "));
  const base = targets.find(([, codename]) => /^[a-z]+$/.test(codename ?? ""));
  return base?.[0];
}
