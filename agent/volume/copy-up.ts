/**
 * Fills an empty volume with what the image has at the volume's place, owners, modes and attributes included, those of the
 * place itself too. Each copy is marked while it lasts: one that was cut short is done again.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { Exec } from "../exec.ts";
import { findImageFolder } from "./image-folder.ts";

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
  const folder = await findImageFolder(wish.layers, wish.path);
  if (folder === undefined) return;
  await writeFile(wish.marker, "");
  try {
    await copy(wish, folder, exec);
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

/** Positional parameters only: $1 overlay options, $2 where to mount it, $3 the folder in it, $4 the volume. */
const script = 'mount -t overlay overlay -o "$1" "$2" && exec cp -a -- "$2/$3/." "$4"';

/** The overlay is mounted for the copier alone: it goes when that goes. One layer needs none. */
async function copy(wish: CopyUp, folder: string, exec: Exec): Promise<void> {
  const { layers, data, scratch, signal } = wish;
  const options = { signal, timeoutMs: copyMs };
  const [only = ""] = layers;
  if (layers.length === 1) {
    await exec.run("cp", ["-a", "--", `${join(only, folder)}/.`, data], options);
    return;
  }
  await mkdir(scratch, { recursive: true });
  const names = layers.map((_, index) => `l/${index}`);
  const lower = `lowerdir=${names.toReversed().join(":")}`;
  const words = [script, "sh", lower, scratch, folder, data];
  const command = ["--mount", "--propagation", "private", "sh", "-c", ...words];
  // The layers' short names stand in the task's folder: the options must fit into one page.
  await exec.run("unshare", command, { ...options, cwd: join(scratch, "..") });
  await rmdir(scratch);
}
