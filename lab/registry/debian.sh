#!/bin/sh
# Makes the two layers of the Debian test image: WORK/base.tar, a minimal Debian 12, and WORK/apps.tar, what installing
# nginx and redis changes in it.
# usage: debian.sh WORK ROOT             (a hook of mmdebstrap, while it has a minimal ROOT ready)
set -eu
work=$1 root=$2

pack() { # TAR, then options and names: packs from the current folder what belongs into an image (?*: a folder stays, empty)
  tar=$1
  shift
  bsdtar --format pax --numeric-owner --no-xattrs --no-acls --no-fflags -cf "$tar" \
    --exclude './dev/?*' --exclude './proc/?*' --exclude './sys/?*' --exclude './run/?*' --exclude './tmp/?*' \
    --exclude './etc/resolv.conf' --exclude './etc/hostname' \
    --exclude './var/lib/apt/lists/?*' --exclude './var/cache/apt/?*' "$@"
}

files() { find . -xdev ! -path './proc/*' ! -path './sys/*' ! -path './var/lib/apt/*' ! -path './var/cache/apt/*' | LC_ALL=C sort; }

cd "$root"
touch "$work/start"
files >"$work/before"
pack "$work/base.tar" .
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG DEBIAN_FRONTEND=noninteractive \
  apt-get --yes -o DPkg::Chroot-Directory="$root" --no-install-recommends install nginx-light redis-server
files >"$work/after"
# What is gone is marked with a whiteout (image-spec, layer.md); below a folder that is gone nothing needs a mark.
mkdir "$work/whiteouts"
LC_ALL=C comm -23 "$work/before" "$work/after" | while read -r gone; do
  [ -d "${gone%/*}" ] || continue
  mkdir -p "$work/whiteouts/${gone%/*}"
  : >"$work/whiteouts/${gone%/*}/.wh.${gone##*/}"
done
(cd "$work/whiteouts" && find . -type f) >"$work/marks"
# By change time: a package's files are as old as the package.
pack "$work/apps.tar" --newer-ctime-than "$work/start" .
if [ -s "$work/marks" ]; then (cd "$work/whiteouts" && bsdtar -rf "$work/apps.tar" -n -T "$work/marks"); fi
