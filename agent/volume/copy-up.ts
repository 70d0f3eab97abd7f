/**
 * Fills an empty volume with what the image has at the volume's place, owners, modes and attributes included, those of the
 * place itself too. Each copy is marked while it lasts: one that was cut short is done again.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { Exec } from "../exec.ts";
import { findImagePath } from "../container/image-path.ts";

/** Real ones take seconds; an image may be large and a disk slow. */
const copyMs = 30 * 60_000;

export interface CopyUp {
  /** Of the volume's content. */
  readonly data: string;
  /** A file beside the content that is there while a copy is under way. */
  readonly marker: string;
  /** Absolute folders, base first. */
  readonly layers: readonly string[];
  /** In the image. */
  readonly path: string;
  /** An own folder for the mount of the image, made and removed here. */
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export async function copyUp(wish: CopyUp, { exec }: { readonly exec: Exec }): Promise<void> {
  if (!(await isWanted(wish))) return;
  const found = await findImagePath(wish.layers, wish.path);
  if (found?.kind !== "folder") return;
  await writeFile(wish.marker, "");
  try {
    await copy(wish, found.path, exec);
  } catch (thrown) {
    throw Fault.wrap(`Cannot copy the image's "${wish.path}" into the volume`, thrown);
  }
  await rm(wish.marker);
}

async function isWanted({ data, marker }: CopyUp): Promise<boolean> {
  const names = await readdir(data);
  // A disk that was just formatted is empty, too (Docker).
  if (names.every((name) => name === "lost+found")) return true;
  return existsSync(marker);
}

/**
 * Positional parameters only: $1 overlay options, empty where there is one layer, $2 where the image is, $3 the folder in
 * it, $4 the volume. What writes has the volume for its root: other containers write there meanwhile, and a link of theirs
 * must not lead into the host. Where its file system cannot keep attributes, as NFS, the copy does without (Docker).
 */
const script = `set -o pipefail
[ -z "$1" ] || mount -t overlay overlay -o "$1" "$2" || exit
copy() {
  bsdtar -c --format=pax --options=hdrcharset=BINARY --numeric-owner --no-fflags -f - -C "$1" . |
    bsdtar -x -p --chroot --numeric-owner --no-fflags $3 -f - -C "$2"
}
copy "$2/$3" "$4" || copy "$2/$3" "$4" "--no-xattrs --no-acls"`;

/**
 * The overlay is mounted for the copiers alone, and they end with the program that is waited for, and that with swarmd:
 * nothing is left, and nothing writes to the volume when its containers run.
 */
async function copy(wish: CopyUp, folder: string, exec: Exec): Promise<void> {
  const { layers, data, scratch, signal } = wish;
  const [only = ""] = layers;
  const alone = layers.length === 1;
  await mkdir(scratch, { recursive: true });
  const names = layers.map((_, index) => `l/${index}`);
  const lower = alone ? "" : `lowerdir=${names.toReversed().join(":")}`;
  const bound = ["--pdeathsig", "KILL", "unshare"];
  // "slave": what the host unmounts must not live on in here.
  const namespaces = ["--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child"];
  const words = [script, "bash", lower, alone ? only : scratch, folder, data];
  // The layers' short names stand in the task's folder: the options must fit into one page.
  const options = { signal, timeoutMs: copyMs, cwd: join(scratch, "..") };
  await exec.run("setpriv", [...bound, ...namespaces, "bash", "-c", ...words], options);
  await rmdir(scratch);
}
