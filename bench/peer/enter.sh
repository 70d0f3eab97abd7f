#!/bin/sh
# Becomes a program of the peers' root, on the virtual host that this runs in. The root is shared by all hosts and never
# written to: /run, the data and the names are the host's own. Its mounts end with the host.
# usage: enter.sh ROOT PROGRAM ARG…     the host's /var/lib/swarm is seen as /var/lib/docker
set -eu
root=$1
shift
# A mount of its own: runc looks for the mount that a container's root lies on.
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for folder in proc sys dev run; do mount --rbind "/$folder" "$root/$folder"; done
mount -t tmpfs tmpfs "$root/tmp"
for file in hosts hostname resolv.conf; do mount --bind "/etc/$file" "$root/etc/$file"; done
mount --bind /var/lib/swarm "$root/var/lib/docker"
# Nothing of the caller's environment: a proxy in it would be asked for the lab's own registry.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
