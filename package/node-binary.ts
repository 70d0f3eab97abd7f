/**
 * The Node binary of a processor, which need not be this machine's: from npm's package node-linux-ARCH, whose digest
 * node-binaries.json has. The `node` that package-lock.json locks is made of the same packages, but the lock file does not
 * name those of other processors. A download is kept in node_modules/.cache, and believed for its digest alone.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import type { Architecture } from "./architecture.ts";
import binaries from "./node-binaries.json" with { type: "json" };
import { runProgram } from "./run-program.ts";

const cache = fileURLToPath(new URL("../node_modules/.cache/node-binaries", import.meta.url));

/** Puts `node` and `LICENSE` into the folder given. */
export async function unpackNode(arch: Architecture, folder: string): Promise<void> {
  const archive = await download(arch);
  const names = "--transform=s,.*/,,";
  await runProgram([
    "tar",
    "-xzf",
    archive,
    names,
    "-C",
    folder,
    "package/bin/node",
    "package/LICENSE",
  ]);
}

async function download(arch: Architecture): Promise<string> {
  const name = `node-linux-${arch}`;
  const path = join(cache, `${name}-${binaries.version}.tgz`);
  if ((await integrityOf(path)) === binaries[arch]) return path;
  // Another build may do the same at this time: whole or not at all.
  const own = `${path}.${process.pid}`;
  await mkdir(own, { recursive: true });
  try {
    const pack = ["npm", "pack", "--silent", "--pack-destination", own];
    const file = await runProgram([...pack, `${name}@${binaries.version}`]);
    const fresh = join(own, file.trim());
    const integrity = await integrityOf(fresh);
    if (integrity !== binaries[arch]) {
      throw new Fault(
        "failed-precondition",
        `${name} ${binaries.version} from the registry is ${integrity}, and package/node-binaries.json says ${binaries[arch]}`,
      );
    }
    await rename(fresh, path);
    return path;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

/** As npm writes it; undefined where there is no such file. */
async function integrityOf(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return undefined;
  return `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
}
