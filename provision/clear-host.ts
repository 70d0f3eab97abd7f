/**
 * Takes everything of ours off a host, whatever state it is in, and says what is still there. First swarmd is asked to leave,
 * which ends containers in order and knows best what is its own in the kernel; then what is left goes without it. Can be
 * run again at any time: what is gone already costs nothing.
 */
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
  const over = { input: clearScript, ...(signal !== undefined && { signal }) };
  const { status, stdout, stderr } = await remote.run(command, over);
  if (status !== 0) {
    const last = stderr.trim().split("\n").at(-1);
    throw new Fault("failed-precondition", `${last || "it said nothing"} (status ${status})`);
  }
  return stdout.split("\n").flatMap((line) => /^left\t(.+)$/.exec(line)?.[1] ?? []);
}

/** What the host does; names in the kernel are those that agent/network/ gives. */
const clearScript = `set -u
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
package=$1
data=/var/lib/swarm run=/run/swarm lib=/usr/lib/swarm
has() { command -v "$1" >/dev/null 2>&1; }
left() { printf 'left\\t%s\\n' "$1"; }

leave() {
  [ -e $data/node.json ] && has swarmctl || return 0
  # One that runs already is left alone; the unit is active when swarmd answers.
  if has systemctl; then systemctl start swarmd.service; fi
  timeout 150 swarmctl cluster leave --force
}

stop() {
  if has systemctl; then
    systemctl stop swarmd.service
  fi
  if [ -d /run/systemd/system ]; then
    # It refuses to be stopped by hand, as that ends containers: here they shall end.
    drop=/run/systemd/system/swarm-containers.service.d
    mkdir -p $drop && printf '[Unit]\\nRefuseManualStop=no\\n' >$drop/destroy.conf
    systemctl daemon-reload
    systemctl stop swarm-containers.service
    rm -rf $drop
    systemctl daemon-reload
  fi
  # Where nothing supervises it.
  for pid in $(ss -xlpH 2>/dev/null | grep -F " $run/swarmd.sock " | grep -o 'pid=[0-9]*'); do
    kill "\${pid#pid=}" && timeout 60 tail --pid="\${pid#pid=}" -f /dev/null
  done
}

# Supervisors have a container's file system mounted where the host has not; containers are their children, and where there
# are no units, in a cgroup of ours.
containers() {
  own=$(readlink /proc/self/ns/mnt)
  for info in $(grep -ls " $data/agent/tasks/[0-9a-z]*/[0-9]*/rootfs " /proc/[0-9]*/mountinfo); do
    pid=\${info#/proc/} pid=\${pid%/mountinfo}
    [ "$(readlink "/proc/$pid/ns/mnt")" != "$own" ] || continue
    cat "/proc/$pid/task/$pid/children" 2>/dev/null
    echo " $pid"
  done
  for group in $(cgroups); do find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null; done
}

links() { ip -o link | sed -n 's/^[0-9]*: \\(sw-vx[0-9]\\|sw-wg[0-9a-z-]*\\|swv-[^:@]*\\)[:@].*/\\1/p'; }
tables() { nft list tables 2>/dev/null | sed -n 's/^table \\(inet\\|netdev\\) swarm$/\\1/p'; }
namespaces() { ls /run/netns 2>/dev/null | grep -E '^[0-9a-z]{25}$'; }
mounts() { awk '$2 ~ "^(/var/lib|/run)/swarm(/|$)" { print $2 }' /proc/self/mounts | sort -r; }
cgroups() { find /sys/fs/cgroup -maxdepth 3 -type d -name swarm 2>/dev/null; }

kernel() {
  for link in $(links); do ip link del "$link"; done
  for name in $(namespaces); do ip netns del "$name"; done
  for family in $(tables); do nft delete table "$family" swarm; done
  for family in -4 -6; do
    while ip $family rule del protocol 115 2>/dev/null; do :; done
    ip $family route flush table all proto 115 2>/dev/null
  done
  rm -rf /sys/fs/bpf/swarm
  for group in $(cgroups); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done
}

files() {
  for mount in $(mounts); do
    # The folder itself may be a disk of its own: that one stays.
    [ "$mount" = $data ] || umount "$mount" 2>/dev/null || umount -l "$mount"
  done
  rm -rf --one-file-system $run /var/cache/swarm /var/cache/swarm-install
  find $data -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} +
  rmdir $data 2>/dev/null
}

remove_package() {
  if has dpkg && dpkg -s swarm >/dev/null 2>&1; then dpkg --purge swarm; fi
  if [ -e $lib/install.sh ]; then sh $lib/install.sh --remove --purge; fi
}

report() {
  for pid in $(containers); do left "process $pid of a container"; done
  for link in $(links); do left "link $link"; done
  for family in $(tables); do left "nftables table $family swarm"; done
  for name in $(namespaces); do left "network namespace $name"; done
  for mount in $(mounts); do [ "$mount" = $data ] || left "mount $mount"; done
  for group in $(cgroups); do left "cgroup $group"; done
  if [ -n "$(ls -A $data 2>/dev/null)" ]; then left "files in $data"; fi
  if [ -e $run ]; then left "$run"; fi
  [ "$package" = keep ] || for path in $lib /usr/bin/swarmd /usr/bin/swarmctl /etc/swarm; do
    if [ -e "$path" ]; then left "$path"; fi
  done
}

{
  leave
  stop
  for pid in $(containers); do kill -9 "$pid"; done
  kernel
  files
  [ "$package" = keep ] || remove_package
} >&2 </dev/null
report
exit 0
`;
