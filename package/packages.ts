/** All packages of a version, in one folder. */
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { writeBundle } from "#bundle/bundle.ts";
import { systemClock } from "#proto/system-ports.ts";
import { readCliTable } from "#swarmctl/cli-table.ts";
import { scripts } from "#swarmctl/completion/scripts.ts";
import { defaultConfigFile } from "#swarmd/config-file.ts";
import type { Architecture } from "./architecture.ts";
import { writeTarball } from "./archive.ts";
import { type Contents, writeInstalledTree } from "./installed-tree.ts";
import { writeDeb } from "./deb.ts";
import { manifestOf } from "./manifest.ts";
import { manPages } from "./man-pages.ts";
import type { PageOrigin } from "./roff.ts";
import { runProgram } from "./run-program.ts";
import { readScript } from "./script.ts";

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
  const { version, architectures, folder, onFile } = options;
  const work = await mkdtemp(join(tmpdir(), "swarm-package-"));
  try {
    await mkdir(folder, { recursive: true });
    const contents = await prepare(work, options);
    for (const arch of architectures) {
      const own = join(work, arch);
      await mkdir(own);
      const root = join(own, "tree");
      await writeInstalledTree(root, arch, contents);
      await writeTarballOf(arch, { own, root }, options);
      onFile(await writeDeb({ ...options, arch, tree: join(own, nameOf(version, arch), "root") }));
      await rm(own, { recursive: true });
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What is the same for all processors. */
async function prepare(work: string, { version, epoch }: PackagesOptions): Promise<Contents> {
  const fastPathObject = join(work, "fastpath.o");
  const build = join(repository, "agent/network/fastpath/build.sh");
  await runProgram(["sh", build, fastPathObject]);
  const bundle = join(work, "bundle");
  await writeBundle({ target: bundle, version, fastPathObject });
  return { version, bundle, texts: await writtenTexts({ version, epoch }) };
}

/** What is made from tables. */
async function writtenTexts(origin: PageOrigin): Promise<ReadonlyMap<string, string | Uint8Array>> {
  const cli = await readCliTable({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: {},
    clock: systemClock,
    signal: new AbortController().signal,
  });
  const pages = [...manPages(cli, origin)].map(
    ([path, text]) => [`usr/share/man/${path}.gz`, gzipSync(text, { level: 9 })] as const,
  );
  return new Map<string, string | Uint8Array>([
    ["etc/swarm/swarmd.yml", defaultConfigFile()],
    ["usr/share/bash-completion/completions/swarmctl", scripts.bash],
    ["usr/share/zsh/vendor-completions/_swarmctl", scripts.zsh],
    ["usr/share/fish/vendor_completions.d/swarmctl.fish", scripts.fish],
    ...pages,
  ]);
}

function nameOf(version: string, arch: Architecture): string {
  return `swarm-${version}-linux-${arch}`;
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
  const name = nameOf(version, arch);
  const top = join(own, name);
  await mkdir(top);
  await rename(root, join(top, "root"));
  await writeFile(join(top, "version"), `${version}\n`);
  await writeFile(join(top, "arch"), `${arch}\n`);
  await writeFile(join(top, "manifest"), await manifestOf(join(top, "root")));
  await writeFile(join(top, "install.sh"), await readScript("install.sh"));
  await copyFile(join(repository, "package/check-host.sh"), join(top, "check-host"));
  for (const program of ["install.sh", "check-host"]) await chmod(join(top, program), 0o755);
  const path = join(folder, `${name}.tar.gz`);
  await writeTarball(path, top, epoch);
  onFile(path);
}
