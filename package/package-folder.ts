/** What a tarball has: one folder with the files as they lie on a host below root/, and what installs them. */
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Architecture } from "./architecture.ts";
import type { Contents } from "./contents.ts";
import { writeInstalledTree } from "./installed-tree.ts";
import { manifestOf } from "./manifest.ts";
import { readScript } from "./script.ts";

const checkHost = fileURLToPath(new URL("check-host.sh", import.meta.url));

/** Makes the folder in `parent`, and returns its path. */
export async function writePackageFolder(
  parent: string,
  arch: Architecture,
  contents: Contents,
): Promise<string> {
  const { version } = contents;
  const folder = join(parent, `swarm-${version}-linux-${arch}`);
  const root = join(folder, "root");
  await mkdir(folder, { recursive: true });
  await writeInstalledTree(root, arch, contents);
  await writeFile(join(folder, "version"), `${version}\n`);
  await writeFile(join(folder, "arch"), `${arch}\n`);
  await writeFile(join(folder, "manifest"), await manifestOf(root));
  await writeFile(join(folder, "install.sh"), await readScript("install.sh"));
  await copyFile(checkHost, join(folder, "check-host"));
  for (const program of ["install.sh", "check-host"]) await chmod(join(folder, program), 0o755);
  return folder;
}
