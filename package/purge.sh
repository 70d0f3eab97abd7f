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
  if command -v runc >/dev/null 2>&1 && [ -d "$run_root/runc" ]; then
    runc --root "$run_root/runc" list -q 2>/dev/null | while read -r id; do
      runc --root "$run_root/runc" delete --force "$id" 2>/dev/null
    done
  fi
  # The unit refuses to be stopped by hand, as long as its file says so; its file is gone, or goes now.
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  ! systemctl --quiet is-active swarm-containers.service || systemctl stop swarm-containers.service
  systemctl reset-failed swarmd.service swarm-containers.service 2>/dev/null || :
}

forget_networks() {
  for folder in "$data_root"/agent/tasks/*; do
    ip netns delete "${folder##*/}" 2>/dev/null
  done
  for device in sw-vx0 sw-vx1 sw-wg0; do ip link delete "$device" 2>/dev/null; done
  for table in "inet swarm" "netdev swarm"; do
    # shellcheck disable=SC2086 # family and name
    nft delete table $table 2>/dev/null
  done
}

# The deepest first. One that is in use would take its files with it.
release_mounts() {
  awk -v data="$data_root/" -v run="$run_root/" 'index($2, data) == 1 || index($2, run) == 1 { print $2 }' \
    /proc/self/mounts | sort -r | while read -r mount; do umount "$mount"; done
  if grep -q " $data_root/" /proc/self/mounts; then
    echo "something is still mounted below $data_root: unmount it, remove the folder, and do this again" >&2
    return 1
  fi
}
