/**
 * A package made of an installation that a package made: for hosts that shall have what this machine has. What install.sh
 * left in the programs' folder says what belongs to it.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Arch, PackageFile } from "./package-file.ts";

const run = promisify(execFile);

export interface OwnPackageOptions {
  /** Of the programs: /usr/lib/swarm. */
  readonly installation: string;
  /** Where the package is put. */
  readonly folder: string;
  readonly arch: Arch;
  /** What the manifest's paths are below. */
  readonly root?: string;
}

/** What the package will be; undefined where the folder is none that install.sh has filled. */
export async function ownPackage(options: OwnPackageOptions): Promise<PackageFile | undefined> {
  const { installation, folder, arch } = options;
  const [manifest, text] = await Promise.all(
    ["manifest", "version"].map((name) => readIfThere(join(installation, name))),
  );
  if (manifest === undefined || text === undefined) return undefined;
  const version = text.trim();
  return { path: join(folder, `${nameOf(version, arch)}.tar.gz`), version, arch };
}

/** Makes it, which takes a while. */
export async function packOwn(options: OwnPackageOptions, file: PackageFile): Promise<void> {
  const { installation, folder, root = "/" } = options;
  try {
    const name = nameOf(file.version, file.arch);
    const top = join(folder, name);
    const manifest = await readFile(join(installation, "manifest"), "utf8");
    const lines = await copyFiles(manifest, { from: root, to: join(top, "root") });
    for (const program of ["install.sh", "check-host", "version"]) {
      await copyFile(join(installation, program), join(top, program));
    }
    await writeFile(join(top, "manifest"), lines);
    await writeFile(join(top, "arch"), `${file.arch}\n`);
    await run("tar", ["--owner=0", "--group=0", "-C", folder, "-czf", file.path, name]);
  } catch (thrown) {
    throw Fault.wrap(`Cannot make a package of ${installation}`, thrown);
  }
}

function nameOf(version: string, arch: Arch): string {
  return `swarm-${version}-linux-${arch}`;
}

/** The manifest of what was copied. Settings that somebody has changed here are nobody else's. */
async function copyFiles(
  manifest: string,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<string> {
  let lines = "";
  for (const line of manifest.split("\n")) {
    const [sum, path] = line.split("  ", 2);
    if (path === undefined) continue;
    const content = await readFile(join(from, path));
    const isSame = createHash("sha256").update(content).digest("hex") === sum;
    if (!isSame && path.startsWith("etc/")) continue;
    if (!isSame) {
      throw new Fault("data-loss", `/${path} is not what was installed: install swarm here anew`);
    }
    await mkdir(dirname(join(to, path)), { recursive: true });
    await copyFile(join(from, path), join(to, path));
    lines += `${line}\n`;
  }
  return lines;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT" || errnoOf(thrown) === "ENOTDIR") return undefined;
    throw Fault.wrap(`Cannot read "${path}"`, thrown);
  }
}
