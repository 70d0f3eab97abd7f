# Takes from a host all that swarmd made on it: containers, networks, mounts, data. Each part may be gone already, as after
# "swarmctl cluster leave", which tells the cluster, too. Data elsewhere than in /var/lib/swarm stays.
data_root=/var/lib/swarm
run_root=/run/swarm

# However it was started: the name that it holds in the network namespace.
swarmd_runs() { grep -q '@swarm-engine$' /proc/net/unix; }

purge_host() {
  if swarmd_runs; then
    echo "swarmd still runs: stop it, and do this again" >&2
    return 1
  fi
  end_containers
  forget_networks
  release_mounts || return 1
  for root in "$data_root" "$run_root" /var/cache/swarm-install; do
    [ -d "$root" ] || continue
    # The folder itself may be where a disk is mounted.
    find "$root" -xdev -mindepth 1 -delete || return 1
    rmdir "$root" 2>/dev/null || :
  done
}

# ---------------------------------------------------------------- what there is; names are agent/network's

# Supervisors have a container's file system mounted where the host has not; containers are their children, and where there
# are no units, in a cgroup of ours.
container_processes() {
  own=$(readlink /proc/self/ns/mnt)
  for info in $(grep -ls " $data_root/agent/tasks/[0-9a-z]*/" /proc/[0-9]*/mountinfo); do
    pid=${info#/proc/} pid=${pid%/mountinfo}
    [ "$(readlink "/proc/$pid/ns/mnt")" != "$own" ] || continue
    cat "/proc/$pid/task/$pid/children" 2>/dev/null
    echo " $pid"
  done
  for group in $(container_cgroups); do find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null; done
}

container_cgroups() { find /sys/fs/cgroup -maxdepth 3 -type d -name swarm 2>/dev/null; }
network_links() { ip -o link 2>/dev/null | sed -n 's/^[0-9]*: \(sw-vx[0-9]\|sw-wg[0-9a-z-]*\|swv-[^:@]*\)[:@].*/\1/p'; }
network_tables() { nft list tables 2>/dev/null | sed -n 's/^table \(inet\|netdev\) swarm$/\1/p'; }
network_namespaces() { ls /run/netns 2>/dev/null | grep -E '^[0-9a-z]{25}$'; }

# The deepest first. The data's own folder may be a disk: that one is not ours.
data_mounts() {
  awk -v data="$data_root/" -v run="$run_root" \
    'index($2, data) == 1 || $2 == run || index($2, run "/") == 1 { print $2 }' /proc/self/mounts | sort -r
}

# ---------------------------------------------------------------- its end

end_containers() {
  if command -v runc >/dev/null 2>&1; then
    for state in "$run_root"/runc/*/state.json; do
      [ ! -e "$state" ] || { id=${state%/state.json} && runc --root "$run_root/runc" delete --force "${id##*/}"; }
    done
  fi
  # Supervisors that have nothing to look after any more end by themselves; those that wait for something do not.
  for pid in $(container_processes); do kill -KILL "$pid" 2>/dev/null; done
  end_containers_unit
  for group in $(container_cgroups); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done
}

# It refuses to be stopped by hand, as that ends containers: here they shall end. The unit's file may be gone already.
end_containers_unit() {
  [ -d /run/systemd/system ] || return 0
  drop=/run/systemd/system/swarm-containers.service.d
  mkdir -p $drop && printf '[Unit]\nRefuseManualStop=no\n' >$drop/purge.conf
  systemctl daemon-reload
  systemctl stop swarm-containers.service 2>/dev/null
  rm -rf $drop
  systemctl daemon-reload
  systemctl reset-failed swarmd.service swarm-containers.service 2>/dev/null
}

forget_networks() {
  for link in $(network_links); do ip link delete "$link" 2>/dev/null; done
  for name in $(network_namespaces); do ip netns delete "$name" 2>/dev/null; done
  for family in $(network_tables); do nft delete table "$family" swarm 2>/dev/null; done
  for family in -4 -6; do
    while ip $family rule delete protocol 115 2>/dev/null; do :; done
    ip $family route flush table all protocol 115 2>/dev/null
  done
  rm -rf /sys/fs/bpf/swarm 2>/dev/null
}

# One that somebody uses is only taken out of the tree, and lives until they are done. What stays there would lose its
# files with ours.
release_mounts() {
  for mount in $(data_mounts); do umount "$mount" 2>/dev/null || umount -l "$mount"; done
  [ -z "$(data_mounts)" ] || {
    echo "something is still mounted below $data_root: unmount it, and do this again" >&2
    return 1
  }
}
