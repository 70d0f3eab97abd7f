/** Packages of this machine, for hosts of each architecture: `swarm-VERSION-linux-ARCH.tar.gz`, one file or a folder of them. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { compareVersions } from "./version-order.ts";

export type Arch = "x64" | "arm64";

export interface PackageFile {
  readonly path: string;
  readonly version: string;
  readonly arch: Arch;
}

/** All of one version. */
export type Packages = Readonly<Partial<Record<Arch, PackageFile>>>;

const namePattern = /^swarm-(.+)-linux-(x64|arm64)\.tar\.gz$/;

export function parsePackageName(path: string): PackageFile | undefined {
  const [, version, arch] = namePattern.exec(basename(path)) ?? [];
  if (version === undefined || (arch !== "x64" && arch !== "arm64")) return undefined;
  return { path, version, arch };
}

/** A file, or the newest version in a folder. */
export async function findPackages(path: string): Promise<Packages> {
  try {
    if (!(await stat(path)).isDirectory()) return fileAlone(path);
    const names = await readdir(path);
    const found = names.flatMap((name) => parsePackageName(join(path, name)) ?? []);
    const [newest] = found.toSorted((a, b) => compareVersions(b.version, a.version));
    if (newest === undefined) {
      throw new Fault("not-found", "no file swarm-VERSION-linux-ARCH.tar.gz is in this folder");
    }
    const same = found.filter(({ version }) => version === newest.version);
    return Object.fromEntries(same.map((file) => [file.arch, file]));
  } catch (thrown) {
    throw Fault.wrap(`Cannot take packages from "${path}"`, thrown);
  }
}

function fileAlone(path: string): Packages {
  const file = parsePackageName(path);
  if (file !== undefined) return { [file.arch]: file };
  const message = "a package is called swarm-VERSION-linux-ARCH.tar.gz";
  throw new Fault("invalid-argument", message);
}

export function versionOf(packages: Packages): string | undefined {
  return (packages.x64 ?? packages.arm64)?.version;
}
