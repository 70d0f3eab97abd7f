/** All packages of a version, in one folder. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Architecture } from "./architecture.ts";
import { writeTarball } from "./archive.ts";
import { makeContents } from "./contents.ts";
import { writeDeb } from "./deb.ts";
import { writePackageFolder } from "./package-folder.ts";

export interface PackagesOptions {
  readonly version: string;
  readonly architectures: readonly Architecture[];
  /** Where they go. */
  readonly folder: string;
  /** What their files' times are: seconds since 1970. */
  readonly epoch: number;
  readonly onFile: (path: string) => void;
}

export async function writePackages(options: PackagesOptions): Promise<void> {
  const { version, epoch, architectures, folder, onFile } = options;
  const work = await mkdtemp(join(tmpdir(), "swarm-package-"));
  try {
    await mkdir(folder, { recursive: true });
    const contents = await makeContents(work, { version, epoch });
    for (const arch of architectures) {
      const own = await writePackageFolder(work, arch, contents);
      const tarball = join(folder, `${basename(own)}.tar.gz`);
      await writeTarball(tarball, own, epoch);
      onFile(tarball);
      onFile(await writeDeb({ ...options, arch, tree: join(own, "root") }));
      await rm(own, { recursive: true });
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
