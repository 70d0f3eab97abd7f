/** All packages of a version, in one folder. */
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeBundle } from "#bundle/bundle.ts";
import type { Architecture } from "./architecture.ts";
import { writeTarball } from "./archive.ts";
import { type Contents, writeInstalledTree } from "./installed-tree.ts";
import { runProgram } from "./run-program.ts";
import { manifestOf } from "./sealed-files.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

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
  const { version, architectures, folder } = options;
  const work = await mkdtemp(join(tmpdir(), "swarm-package-"));
  try {
    await mkdir(folder, { recursive: true });
    const contents = await prepare(work, version);
    for (const arch of architectures) {
      const own = join(work, arch);
      await mkdir(own);
      const root = join(own, "tree");
      await writeInstalledTree(root, arch, contents);
      await writeTarballOf(arch, { own, root }, options);
      await rm(own, { recursive: true });
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What is the same for all processors. */
async function prepare(work: string, version: string): Promise<Contents> {
  const fastPathObject = join(work, "fastpath.o");
  const build = join(repository, "agent/network/fastpath/build.sh");
  await runProgram(["sh", build, fastPathObject]);
  const bundle = join(work, "bundle");
  await writeBundle({ target: bundle, version, fastPathObject });
  const texts = new Map<string, string>([
    ["etc/swarm/swarmd.yml", await readFile(join(repository, "package/files/swarmd.yml"), "utf8")],
  ]);
  return { version, bundle, texts };
}

interface Places {
  readonly own: string;
  readonly root: string;
}

async function writeTarballOf(
  arch: Architecture,
  { own, root }: Places,
  { version, folder, epoch, onFile }: PackagesOptions,
): Promise<void> {
  const name = `swarm-${version}-linux-${arch}`;
  const top = join(own, name);
  await mkdir(top);
  await rename(root, join(top, "root"));
  await writeFile(join(top, "version"), `${version}\n`);
  await writeFile(join(top, "arch"), `${arch}\n`);
  await writeFile(join(top, "manifest"), await manifestOf(join(top, "root")));
  await writeFile(join(top, "install.sh"), await installScript());
  await copyFile(join(repository, "package/check-host.sh"), join(top, "check-host"));
  for (const program of ["install.sh", "check-host"]) await chmod(join(top, program), 0o755);
  const path = join(folder, `${name}.tar.gz`);
  await writeTarball(path, top, epoch);
  onFile(path);
}

async function installScript(): Promise<string> {
  const read = (name: string) => readFile(join(repository, "package", name), "utf8");
  const purge = await read("purge.sh");
  return (await read("install.sh")).replace("#include purge.sh\n", () => purge);
}
