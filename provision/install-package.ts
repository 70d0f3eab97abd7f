/** Puts a package onto a host: copies it there, and has its own install.sh do the rest. Whatever fails leaves no copy behind. */
import { Fault } from "#proto/fault.ts";
import { basename } from "node:path";
import type { PackageFile } from "./package-file.ts";
import type { Remote, RunResult } from "./remote.ts";

/** Root's alone, so that nobody else puts files among those that root runs. */
const folder = "/var/cache/swarm-install";

/** What install.sh says where the host lacks something: then it has changed nothing. */
const lacksSomething = 3;

export interface InstallOptions {
  /** Also in the place of a newer version. */
  readonly force?: boolean;
  readonly onProgress?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Installs, and starts swarmd or starts it anew. Does nothing on a host that has this version and runs it. */
export async function installPackage(
  remote: Remote,
  file: PackageFile,
  options: InstallOptions = {},
): Promise<void> {
  const { force = false, onProgress, signal } = options;
  const target = `${folder}/${basename(file.path)}`;
  const over = signal === undefined ? {} : { signal };
  try {
    await succeed(remote, ["install", "-d", "-m", "0700", folder], over);
    await remote.copy(file.path, target, { ...over, ...(onProgress && { onProgress }) });
    const args = force ? ["--force"] : [];
    const result = await remote.run(["sh", "-c", installScript, "sh", target, ...args], over);
    if (result.status !== 0) throw installFault(result);
  } catch (thrown) {
    await remote.run(["rm", "-rf", folder]).catch(() => undefined);
    throw Fault.wrap(`Cannot install ${file.version} on ${remote.name}`, thrown);
  }
}

/** Ends as install.sh does, which restarts swarmd and is none of its children. */
const installScript = `set -eu
file=$1
shift
cd "$(dirname "$file")"
rm -rf unpacked
mkdir unpacked
tar -xzf "$file" -C unpacked --strip-components 1
status=0
sh unpacked/install.sh "$@" || status=$?
cd /
rm -rf "$(dirname "$file")"
exit "$status"`;

async function succeed(
  remote: Remote,
  command: readonly string[],
  options: { readonly signal?: AbortSignal },
): Promise<void> {
  const { status, stderr } = await remote.run(command, options);
  if (status !== 0)
    throw new Fault("failed-precondition", lastLines(stderr, 1) || `status ${status}`);
}

function installFault({ status, stdout, stderr }: RunResult): Fault {
  if (status === lacksSomething) {
    const missing = stdout.split("\n").filter((line) => line.startsWith("missing"));
    const text = missing.map((line) => line.replace(/\s+/g, " ")).join("; ");
    return new Fault(
      "failed-precondition",
      `the host lacks something: ${text || lastLines(stdout, 5)}`,
    );
  }
  return new Fault(
    "failed-precondition",
    lastLines(stderr, 3) || lastLines(stdout, 3) || `status ${status}`,
  );
}

function lastLines(text: string, count: number): string {
  return text.trim().split("\n").slice(-count).join("; ");
}
