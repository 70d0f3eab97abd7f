/**
 * Archives of the same bytes wherever and whenever they are made: sorted by name, root's, as old as the commit, and packed
 * by the Node that package-lock.json locks.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { lutimes, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { runProgram } from "./run-program.ts";

/** All that is in `folder`, below its own name. `epoch` is in seconds. */
export async function writeTarball(path: string, folder: string, epoch: number): Promise<void> {
  const plain = `${path}.tar`;
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  const order = ["--sort=name", `--mtime=@${epoch}`, "--format=gnu"];
  const what = ["-C", dirname(folder), basename(folder)];
  try {
    await runProgram(["tar", "-cf", plain, ...order, ...owner, ...what]);
    await pipeline(createReadStream(plain), createGzip({ level: 6 }), createWriteStream(path));
  } finally {
    await rm(plain, { force: true });
  }
}

/** Of a folder and all that is in it. dpkg-deb, unlike tar, takes times as they are. */
export async function setTimes(folder: string, epoch: number): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  for (const path of [...paths, folder]) await lutimes(path, epoch, epoch);
}
