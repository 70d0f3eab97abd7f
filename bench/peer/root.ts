/**
 * The root folder in which peers live: a Debian 13 made from packages, once per machine, so that nothing of theirs is
 * installed on the machine and they are the newest that Debian has. Its name carries the recipe's digest: a changed
 * recipe is another root. Whoever finds the folder finds it complete.
 */
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type EnsureOptions, ensureCached } from "#lab/cache.ts";
import { mmdebstrap } from "#lab/mmdebstrap.ts";

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

/** The root's folder, built if this machine does not have it yet. */
export async function ensurePeerRoot(options: EnsureOptions = {}): Promise<string> {
  const what = "the Debian 13 root of the peers";
  return await ensureCached({ name: `peer-${recipeKey()}`, what, build }, options);
}

async function build(work: string, signal: AbortSignal | undefined): Promise<void> {
  const root = join(work, "result");
  const { suite, packages } = recipe;
  const include = `--include=${packages.join(",")}`;
  await mmdebstrap({ suite, target: root, work, options: [include], signal });
  for (const folder of recipe.hostFolders) await mkdir(join(root, folder), { recursive: true });
  for (const file of recipe.hostFiles) {
    await rm(join(root, file), { force: true });
    await writeFile(join(root, file), "");
  }
}

function recipeKey(): string {
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
}
