# Removes what swarmd leaves on a host: its data and its run folder. swarmd must not run.
purge_host() {
  # The deepest first. A mount that is in use goes away with its last user.
  awk '$2 ~ "^/(var/lib|run)/swarm(/|$)" { print $2 }' /proc/self/mounts | sort -r |
    while read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount"; done
  if grep -q ' /var/lib/swarm/' /proc/self/mounts; then
    echo "something is mounted below /var/lib/swarm: unmount it, and remove the folder" >&2
    return 1
  fi
  rm -rf --one-file-system /var/lib/swarm /run/swarm
}
