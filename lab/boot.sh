#!/bin/sh
# The first process of a box: runs in new pid, network, mount and uts namespaces, makes them look like a host of its own,
# and becomes tini, whose end is the end of everything in the box.
# usage: boot.sh LAB BOX HOSTNAME     LAB: the lab's folder, BOX: the box's folder in it
#   BOX/etc/*     are seen as /etc/*
#   BOX/data      if there, is seen as /var/lib/swarm
#   BOX/network   commands for ip(8), run once the box has its cable
#   BOX/init.json is written: who this process is
# Says "ready", waits for the line "go" (the cable is there), says "up". Whoever starts a box and dies before "go" leaves
# nothing behind: the end of the input is the end of the box.
set -eu
lab=$1 box=$2 hostname=$3

# /proc is still the machine's here, so these are the pid and the start time that the machine sees.
read -r stat </proc/self/stat
# shellcheck disable=SC2086 # a list of fields
set -- $stat
printf '{"pid":%s,"startTime":%s}\n' "$1" "${22}" >"$box/init.json.new"
mv "$box/init.json.new" "$box/init.json"

mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
# A sysfs shows the network devices of the namespace in which it was mounted; the cgroups stay the machine's.
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount --recursive /run/cgroup
rmdir /run/cgroup

hostname "$hostname"
for file in "$box"/etc/*; do
  # May be a link into /run, which is empty now.
  seen=$(readlink -m "/etc/${file##*/}")
  case $seen in /run/*) mkdir -p "${seen%/*}" && touch "$seen" ;; esac
  if [ -e "$seen" ]; then mount --bind "$file" "$seen"; fi
done
if [ -d "$box/data" ]; then
  mkdir -p /var/lib/swarm
  mount --bind "$box/data" /var/lib/swarm
fi
echo 1 >/proc/sys/net/ipv4/ip_forward

echo ready
read -r _
# "down" first removes lab.json and then ends every box that has an init.json, so a box that sees it here is not missed.
[ -e "$lab/lab.json" ] || exit 1
ip -batch "$box/network"
echo up
exec tini -- sleep infinity </dev/null >/dev/null 2>&1
