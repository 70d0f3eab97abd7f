/** Steps that a host takes alone: programs come and go, swarmd starts. Each may be done again where it was broken off. */
import { Fault } from "#proto/fault.ts";
import type { PackageFile } from "./package-file.ts";
import { installPackage } from "./install-package.ts";
import { clearHost } from "./clear-host.ts";
import { swarmdOf } from "./clients.ts";
import { type HostNode, readHostNode } from "./host-node.ts";
import type { Remote, RunResult } from "./remote.ts";

/** Hosts that have just been started often upgrade themselves, and hold dpkg's lock meanwhile. */
const patiently = ["-o", "DPkg::Lock::Timeout=300"];

export async function installDependencies(
  remote: Remote,
  packages: readonly string[],
): Promise<void> {
  const install = ["apt-get", ...patiently, "install", "--yes", "--no-install-recommends"].concat(
    packages,
  );
  const quietly = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"];
  const first = await remote.run([...quietly, ...install]);
  if (first.status === 0) return;
  // A fresh host has no lists of packages, or old ones.
  await remote.run([...quietly, "apt-get", "update"]);
  const second = await remote.run([...quietly, ...install]);
  refuse(second, `Cannot install ${packages.join(", ")} on ${remote.name}`);
}

export async function install(
  remote: Remote,
  file: PackageFile,
  onProgress: (words: string) => void,
): Promise<void> {
  await installPackage(remote, file, {
    onProgress: (bytes, total) => {
      const percent = total === 0 ? 100 : Math.floor((bytes / total) * 100);
      onProgress(percent === 100 ? "installing" : `copying the package (${percent} %)`);
    },
  });
}

export async function startSwarmd(remote: Remote): Promise<void> {
  const started = await remote.run(["systemctl", "enable", "--now", "swarmd.service"]);
  refuse(started, `Cannot start swarmd on ${remote.name}`);
}

/** The host forgets its cluster, which has forgotten it, or is about to. */
export async function leaveByForce(remote: Remote): Promise<void> {
  using swarmd = await swarmdOf(remote);
  await swarmd.client.leaveCluster({ force: true });
}

/** The same of a host that is found by a node's address, and may be another by now. */
export async function leaveAs(remote: Remote, nodeId: string): Promise<void> {
  const { status } = await remote.run(["test", "-e", "/usr/lib/swarm/version"]);
  if (status !== 0) return;
  const node = (await readHostNode(remote)) ?? (await startAndRead(remote));
  if (node.nodeId === "") return;
  if (node.nodeId === nodeId) return await leaveByForce(remote);
  throw new Fault("failed-precondition", `the host at ${remote.name} is another node`);
}

async function startAndRead(remote: Remote): Promise<HostNode> {
  await startSwarmd(remote);
  const node = await readHostNode(remote);
  if (node !== undefined) return node;
  throw new Fault("unavailable", `swarmd does not answer at ${remote.name}`);
}

export interface RemoveOptions {
  /** The data stays: volumes, images, logs. */
  readonly keepData: boolean;
}

/** As it was before swarm came, whichever way it came. What could not be removed, in words. */
export async function removeSwarm(
  remote: Remote,
  { keepData }: RemoveOptions,
): Promise<readonly string[]> {
  if (!keepData) return await clearHost(remote, { keepPackage: false });
  const removed = await remote.run(["sh", "-c", removeScript]);
  refuse(removed, `Cannot remove swarm from ${remote.name}`);
  return [];
}

const removeScript = `if [ -e /usr/lib/swarm/manifest ]; then exec sh /usr/lib/swarm/install.sh --remove; fi
if dpkg -s swarm >/dev/null 2>&1; then DEBIAN_FRONTEND=noninteractive exec dpkg --remove swarm; fi`;

function refuse({ status, stdout, stderr }: RunResult, action: string): void {
  if (status === 0) return;
  const lines = `${stderr}\n${stdout}`.split("\n").map((line) => line.trim());
  const said = lines.filter((line) => line !== "").slice(0, 3);
  throw new Fault("failed-precondition", `${action}: ${said.join("; ") || `status ${status}`}`);
}
