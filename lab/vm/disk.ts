/**
 * The disk that a virtual machine starts from: a Debian 12 with its kernel, made from packages, once per machine. Its name
 * carries the recipe's digest: a changed recipe is another disk. Whoever finds the folder finds it complete.
 */
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { type EnsureOptions, ensureCached } from "../cache.ts";
import { mmdebstrap } from "../mmdebstrap.ts";
import { run } from "../process.ts";

const suite = "bookworm";
const fileSystemTimeoutMs = 300_000;

export interface DiskRecipe {
  readonly packages: readonly string[];
  /** Commands for a shell that change the root folder, which is their "$1". */
  readonly changes: readonly string[];
  /** Of the file system, as mke2fs(8) takes it. */
  readonly size: string;
}

export interface MachineFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}

/** Built if this machine does not have it yet. */
export async function ensureMachineFiles(
  recipe: DiskRecipe,
  options: EnsureOptions,
): Promise<MachineFiles> {
  const key = createHash("sha256")
    .update(JSON.stringify([suite, recipe]))
    .digest("hex");
  const build = (work: string, signal: AbortSignal | undefined) => buildDisk(recipe, work, signal);
  const entry = { name: `vm-${key.slice(0, 12)}`, what: "the disk of the virtual machine", build };
  const folder = await ensureCached(entry, options);
  return {
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd.img"),
    disk: join(folder, "disk"),
  };
}

async function buildDisk(
  recipe: DiskRecipe,
  work: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const root = join(work, "root");
  const options = [
    `--include=${recipe.packages.join(",")}`,
    ...recipe.changes.map((change) => `--customize-hook=${change}`),
  ];
  await mmdebstrap({ suite, target: root, work, options, signal });
  const result = join(work, "result");
  await mkdir(result);
  const boot = join(root, "boot");
  const files = await readdir(boot);
  for (const kind of ["vmlinuz", "initrd.img"]) {
    const file = files.find((name) => name.startsWith(`${kind}-`));
    if (file === undefined) throw new Fault("internal", `the kernel's package made no ${kind}`);
    await copyFile(join(boot, file), join(result, kind));
  }
  const disk = join(result, "disk");
  await run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk, recipe.size], {
    timeoutMs: fileSystemTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  await rm(root, { recursive: true });
}
