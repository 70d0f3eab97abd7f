/**
 * The root folder in which peers live: a Debian 13 made from packages, once per machine, so that nothing of theirs is
 * installed on the machine and they are the newest that Debian has. Its name carries the recipe's digest: a changed
 * recipe is another root. Whoever finds the folder finds it complete.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { lockFile } from "#lab/lock-file.ts";
import { run } from "#lab/process.ts";
import { Fault } from "#proto/fault.ts";

const buildTimeoutMs = 600_000;

const recipe = {
  version: 1,
  suite: "trixie",
  packages: [
    "busybox-static",
    "ca-certificates",
    "docker-cli",
    "docker.io",
    "etcd-client",
    "etcd-server",
    "iptables",
    "iproute2",
    "procps",
  ],
  /** Over these the host's own are mounted; in the root they are empty. */
  hostFiles: ["etc/hosts", "etc/hostname", "etc/resolv.conf"],
  hostFolders: ["var/lib/docker"],
};

export interface EnsureOptions {
  readonly signal?: AbortSignal;
  /** Told when the root has to be built. */
  readonly onStep?: (step: string) => void;
}

/** The root's folder, built if this machine does not have it yet. */
export async function ensurePeerRoot(options: EnsureOptions = {}): Promise<string> {
  const { signal, onStep } = options;
  const cache = process.env["SWARM_LAB_CACHE"] ?? "/var/cache/swarm-lab";
  const root = join(cache, `peer-${recipeKey()}`);
  if (existsSync(root)) return root;
  await mkdir(cache, { recursive: true });
  await using _ = await lockFile(join(cache, "peer.lock"), signal);
  if (existsSync(root)) return root;
  onStep?.("building the Debian 13 root of the peers, once on this machine");
  const work = await mkdtemp(join(cache, "peer.new-"));
  try {
    await build(work, signal);
    await rename(join(work, "root"), root);
  } catch (thrown) {
    throw Fault.wrap("Cannot build the root of the peers", thrown);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return root;
}

/** The mirror that this machine uses for Debian itself, from what `apt-get indextargets` says of each index. */
export function parseMirror(indexTargets: string): string | undefined {
  const targets = indexTargets.split("\n").map((line) => line.split(" "));
  const base = targets.find(([, codename]) => /^[a-z]+$/.test(codename ?? ""));
  return base?.[0];
}

/** In namespaces of its own, so that what mmdebstrap starts and mounts ends with it even when it is killed. */
const apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

/** Makes WORK/root. */
async function build(work: string, signal: AbortSignal | undefined): Promise<void> {
  const root = join(work, "root");
  const env = { ...process.env, TMPDIR: work };
  const options = { timeoutMs: buildTimeoutMs, env, ...(signal === undefined ? {} : { signal }) };
  const format = "$(REPO_URI) $(CODENAME)";
  const query = ["apt-get", "indextargets", "--format", format, "Origin: Debian"];
  const mirror = parseMirror(await run(query, options));
  const include = `--include=${recipe.packages.join(",")}`;
  const argv = ["mmdebstrap", "--quiet", "--variant=minbase", include, recipe.suite, root];
  await run([...apart, ...argv, ...(mirror === undefined ? [] : [mirror])], options);
  for (const folder of recipe.hostFolders) await mkdir(join(root, folder), { recursive: true });
  for (const file of recipe.hostFiles) {
    await rm(join(root, file), { force: true });
    await writeFile(join(root, file), "");
  }
}

function recipeKey(): string {
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
}
