/**
 * Takes everything of ours off a host, whatever state it is in, and says what is still there. First swarmd is asked to leave,
 * which ends containers in order and knows best what is its own in the kernel; then what is left goes without it. Can be
 * run again at any time: what is gone already costs nothing.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import type { Remote } from "./remote.ts";

export interface ClearOptions {
  /** The programs, the unit and the settings stay. */
  readonly keepPackage: boolean;
  readonly signal?: AbortSignal;
}

/** What is still there; nothing, if all went well. */
export async function clearHost(remote: Remote, options: ClearOptions): Promise<readonly string[]> {
  const { keepPackage, signal } = options;
  const command = ["sh", "-s", "--", keepPackage ? "keep" : "remove"];
  const input = `${await readFile(purgePath(), "utf8")}\n${clearScript}`;
  const over = { input, ...(signal !== undefined && { signal }) };
  const { status, stdout, stderr } = await remote.run(command, over);
  if (status !== 0) {
    const last = stderr.trim().split("\n").at(-1);
    throw new Fault("failed-precondition", `${last || "it said nothing"} (status ${status})`);
  }
  return stdout.split("\n").flatMap((line) => /^left\t(.+)$/.exec(line)?.[1] ?? []);
}

/** In the sources, and beside the bundles. */
function purgePath(): string {
  return fileURLToPath(import.meta.resolve("#package/purge.sh"));
}

/** What the host does; what it finds there, and how that ends, is package/purge.sh. */
const clearScript = `set -u
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
package=$1
lib=/usr/lib/swarm
has() { command -v "$1" >/dev/null 2>&1; }
left() { printf 'left\\t%s\\n' "$1"; }

leave() {
  [ -e $data_root/node.json ] && has swarmctl || return 0
  # One that runs already is left alone; the unit is active when swarmd answers.
  if has systemctl; then systemctl start swarmd.service; fi
  timeout 150 swarmctl cluster leave --force
}

stop() {
  if has systemctl; then systemctl stop swarmd.service; fi
  # Where nothing supervises it.
  for pid in $(ss -xlpH 2>/dev/null | grep -F " $run_root/swarmd.sock " | grep -o 'pid=[0-9]*'); do
    kill "\${pid#pid=}" && timeout 60 tail --pid="\${pid#pid=}" -f /dev/null
  done
}

remove_package() {
  if has dpkg && dpkg -s swarm >/dev/null 2>&1; then dpkg --purge swarm; fi
  if [ -e $lib/install.sh ]; then sh $lib/install.sh --remove --purge; fi
}

report() {
  for pid in $(container_processes); do left "process $pid of a container"; done
  for link in $(network_links); do left "link $link"; done
  for family in $(network_tables); do left "nftables table $family swarm"; done
  for name in $(network_namespaces); do left "network namespace $name"; done
  for mount in $(data_mounts); do left "mount $mount"; done
  for group in $(container_cgroups); do left "cgroup $group"; done
  if [ -n "$(ls -A $data_root 2>/dev/null)" ]; then left "files in $data_root"; fi
  if [ -e $run_root ]; then left "$run_root"; fi
  [ "$package" = keep ] || for path in $lib /usr/bin/swarmd /usr/bin/swarmctl /etc/swarm; do
    if [ -e "$path" ]; then left "$path"; fi
  done
}

{
  leave
  stop
  purge_host
  [ "$package" = keep ] || remove_package
} >&2 </dev/null
report
exit 0
`;
