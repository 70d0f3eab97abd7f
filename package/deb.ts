/** The .deb: the installed tree and what dpkg wants to know of it. */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type Architecture, debianNames } from "./architecture.ts";
import { setTimes } from "./archive.ts";
import { filesOf } from "./files-of.ts";
import { type HostProgram, hostPrograms } from "./host-programs.ts";
import type { PageOrigin } from "./roff.ts";
import { runProgram } from "./run-program.ts";
import { readScript } from "./script.ts";

const checkHost = fileURLToPath(new URL("check-host.sh", import.meta.url));
/** Nobody has a name below .invalid: who publishes packages puts their own here. */
const maintainer = "The swarm authors <swarm@packages.invalid>";

/** The Node binary is linked with these: what it asks for is older than any Debian that runs it. */
const libraries = ["libc6 (>= 2.28)", "libgcc-s1", "libstdc++6 (>= 8)"];

/** Not called where the kernel serves, or for speed alone. */
const further = { recommends: ["bpftool"], suggests: ["wireguard-go", "apparmor"] } as const;

const description = `container orchestrator with the manners of Docker Swarm
 Put swarmd on each host, join them, and they are one machine: swarmctl says
 what is to run, and the cluster keeps it running through the loss of any host.
 .
 There is no Docker underneath: swarmd speaks to runc, overlayfs, VXLAN and
 nftables itself.
`;

export interface DebOptions extends PageOrigin {
  readonly arch: Architecture;
  /** The installed tree, which gets a folder DEBIAN. */
  readonly tree: string;
  readonly folder: string;
}

/** Its path. */
export async function writeDeb(options: DebOptions): Promise<string> {
  const { arch, tree, folder, epoch } = options;
  const version = debianVersion(options.version);
  const changelog = `swarm (${version}) stable; urgency=medium\n\n  * See the repository's history.\n\n -- ${maintainer}  ${mailDate(epoch)}\n`;
  const changelogPath = "usr/share/doc/swarm/changelog.gz";
  await writeFile(join(tree, changelogPath), gzipSync(changelog, { level: 9 }), { mode: 0o644 });
  const files = await filesOf(tree);
  const [sums, bytes] = await sumsOf(tree, files);
  const control = join(tree, "DEBIAN");
  await mkdir(control);
  await writeFile(join(control, "control"), await controlOf(options, bytes));
  await writeFile(join(control, "md5sums"), sums);
  await writeFile(
    join(control, "conffiles"),
    files
      .filter((path) => path.startsWith("etc/"))
      .map((path) => `/${path}\n`)
      .join(""),
  );
  for (const name of ["postinst", "prerm", "postrm"]) {
    await writeFile(join(control, name), await readScript(`debian/${name}`));
    await chmod(join(control, name), 0o755);
  }
  await setTimes(tree, epoch);
  const path = join(folder, `swarm_${version}_${debianNames[arch]}.deb`);
  // As the tarball is packed: xz makes a third less of it, and takes two minutes for that.
  const pack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", tree, path];
  await runProgram(pack, { env: { SOURCE_DATE_EPOCH: String(epoch) } });
  return path;
}

/** What is before a release comes after a "~" there. */
export function debianVersion(version: string): string {
  return version.replace("-", "~");
}

async function controlOf({ arch, version }: DebOptions, bytes: number): Promise<string> {
  const programs = hostPrograms(await readFile(checkHost, "utf8"));
  const relations = (needed: boolean) =>
    programs.filter((program) => program.needed === needed).map(relation);
  return [
    "Package: swarm",
    `Version: ${debianVersion(version)}`,
    `Architecture: ${debianNames[arch]}`,
    `Maintainer: ${maintainer}`,
    `Installed-Size: ${Math.ceil(bytes / 1024)}`,
    `Depends: ${[...libraries, ...relations(true)].join(", ")}`,
    `Recommends: ${[...relations(false), ...further.recommends].join(", ")}`,
    `Suggests: ${further.suggests.join(", ")}`,
    "Section: admin",
    "Priority: optional",
    `Description: ${description}`,
  ].join("\n");
}

function relation({ debianPackage, version }: HostProgram): string {
  return version === undefined ? debianPackage : `${debianPackage} (>= ${version})`;
}

async function sumsOf(tree: string, files: readonly string[]): Promise<readonly [string, number]> {
  const lines: string[] = [];
  let bytes = 0;
  for (const path of files) {
    const content = await readFile(join(tree, path));
    bytes += content.length;
    if (!path.startsWith("etc/")) {
      lines.push(`${createHash("md5").update(content).digest("hex")}  ${path}\n`);
    }
  }
  return [lines.join(""), bytes];
}

/** "Sat, 21 Nov 2026 23:18:52 +0000". */
function mailDate(epoch: number): string {
  return new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
}
