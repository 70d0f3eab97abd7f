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
  for root in "$data_root" "$run_root"; do
    [ -d "$root" ] || continue
    # The folder itself may be where a disk is mounted.
    find "$root" -xdev -mindepth 1 -delete || return 1
    rmdir "$root" 2>/dev/null || :
  done
}

end_containers() {
  if command -v runc >/dev/null 2>&1; then
    for state in "$run_root"/runc/*/state.json; do
      [ ! -e "$state" ] || { id=${state%/state.json} && runc --root "$run_root/runc" delete --force "${id##*/}"; }
    done
  fi
  # Supervisors that have nothing to look after any more end by themselves; those that wait for something do not.
  own=$(readlink /proc/self/ns/mnt)
  for info in $(grep -ls " $data_root/agent/tasks/[0-9a-z]*/" /proc/[0-9]*/mountinfo); do
    process=${info%/mountinfo}
    [ "$(readlink "$process/ns/mnt")" = "$own" ] || kill -KILL "${process#/proc/}" 2>/dev/null
  done
  [ -d /run/systemd/system ] || return 0
  # As long as its file was there, the unit could not be stopped by hand.
  systemctl daemon-reload
  systemctl stop swarm-containers.service 2>/dev/null
  systemctl reset-failed swarmd.service swarm-containers.service 2>/dev/null
}

# Names and the number of the routing protocol are agent/network's.
forget_networks() {
  for folder in "$data_root"/agent/tasks/*; do
    ip netns delete "${folder##*/}" 2>/dev/null
  done
  for device in $(ip -o link 2>/dev/null | sed -n 's/^[0-9]*: \(sw-[a-z]*[0-9]\|sw-wg-probe\|swv-[^:@]*\)[:@].*/\1/p'); do
    ip link delete "$device" 2>/dev/null
  done
  for family in -4 -6; do
    while ip $family rule delete protocol 115 2>/dev/null; do :; done
    ip $family route flush table all protocol 115 2>/dev/null
  done
  for family in inet netdev; do nft delete table $family swarm 2>/dev/null; done
  rm -rf /sys/fs/bpf/swarm 2>/dev/null
}

# The deepest first. One that is in use would take its files with it.
release_mounts() {
  awk -v data="$data_root/" -v run="$run_root/" 'index($2, data) == 1 || index($2, run) == 1 { print $2 }' \
    /proc/self/mounts | sort -r | while read -r mount; do umount "$mount"; done
  if grep -q " $data_root/" /proc/self/mounts; then
    echo "something is still mounted below $data_root: unmount it, and do this again" >&2
    return 1
  fi
}
