/**
 * The files as they lie on a host: what the tarball has in root/, and what the .deb has.
 * All are root's, and none is younger than the commit: see archive.ts.
 */
import { chmod, copyFile, cp, mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeFlags } from "#bundle/bundle.ts";
import type { Architecture } from "./architecture.ts";
import type { Contents } from "./contents.ts";
import { unpackNode } from "./node-binary.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const lib = "usr/lib/swarm";

/** `tree` is a folder that is not there yet. */
export async function writeInstalledTree(
  tree: string,
  arch: Architecture,
  contents: Contents,
): Promise<void> {
  const { version, bundle, texts } = contents;
  await mkdir(join(tree, dirname(lib)), { recursive: true });
  await cp(bundle, join(tree, lib), { recursive: true });
  await unpackNode(arch, join(tree, lib));
  const doc = "usr/share/doc/swarm";
  await put(join(tree, `${doc}/copyright`), join(repository, "LICENSE"));
  await rename(join(tree, lib, "LICENSE"), join(tree, doc, "copyright.node"));
  await put(join(tree, lib, "check-host"), join(repository, "package/check-host.sh"), 0o755);
  const files = join(repository, "package/files");
  for (const unit of await readdir(files)) {
    await put(join(tree, "lib/systemd/system", unit), join(files, unit));
  }
  const all = new Map([...texts, [`${lib}/version`, `${version}\n`]]);
  for (const [path, text] of all) await write(join(tree, path), text);
  for (const program of ["swarmd", "swarmctl"]) {
    await write(join(tree, "usr/bin", program), wrapper(program), 0o755);
  }
}

/** The flags that the bundle's first line has, which only counts where there is a Node in PATH. */
function wrapper(program: string): string {
  const flags = nodeFlags[program] ?? "";
  return `#!/bin/sh\nexec /${lib}/node ${flags} /${lib}/${program}.js "$@"\n`;
}

async function put(path: string, source: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await copyFile(source, path);
  await chmod(path, mode);
}

async function write(path: string, text: string | Uint8Array, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, mode);
}
