#!/bin/sh
# Puts swarm onto this host, or takes it away. Lies beside the files that it installs; once there it is
# /usr/lib/swarm/install.sh as well, for --remove.
#
# usage: install.sh [--check] [--no-start] [--force]
#        install.sh --remove [--purge]
#
# First all that is new is put beside what is there, so that a full disk changes nothing; then it takes its place. A run
# that ended in between is repaired by the next one. Containers run on through all of it.
# Exit status: 0 done, 1 failed, 2 wrong usage, 3 the host lacks something.
set -u
export LC_ALL=C PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/usr/bin:/sbin:/bin"
umask 022

lib=/usr/lib/swarm
# Is there from the first change to the last: what it holds is half done.
work=/usr/lib/swarm.installing
unit=swarmd.service
config=/etc/swarm/swarmd.yml

usage() {
  cat <<TEXT
usage: install.sh [--check] [--no-start] [--force]
       install.sh --remove [--purge]

  --check     only look whether this host has all that swarm needs
  --no-start  install, and neither start nor restart swarmd
  --force     also on a host that lacks something, and in the place of a newer version
  --remove    stop swarmd and remove the programs; settings and data stay, and containers run on
  --purge     with --remove: end the containers, and remove settings and data, too
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

need_root() { [ "$(id -u)" = 0 ] || fail "only root can do this: run it with sudo"; }

systemd_runs() { [ -d /run/systemd/system ]; }
has_systemctl() { command -v systemctl >/dev/null 2>&1; }

# ---------------------------------------------------------------- what is here, and what is there

# Of the package that this script lies in.
read_package() {
  here=$(cd "$(dirname "$0")" && pwd) || fail "cannot find the folder of $0"
  for name in version arch manifest check-host root; do
    [ -e "$here/$name" ] || fail "$here has no $name: unpack the whole tarball again"
  done
  version=$(cat "$here/version")
  arch=$(cat "$here/arch")
}

# Whether the package is whole, and one for this host.
check_package() {
  [ "$arch" = "$(host_arch)" ] ||
    fail "this package is for $arch, and this host is $(host_arch): take swarm-$version-linux-$(host_arch).tar.gz"
  (cd "$here/root" && sha256sum -c --status "$here/manifest") ||
    fail "the files in $here are not what was packaged: unpack the tarball again"
  said=$("$here/root$lib/node" --version 2>&1) ||
    fail "the package's programs do not run here, they need the C library of GNU, 2.28 or later: $said"
}

# Empty where there is none. A run that was killed between two renames has left it in the work folder.
read_installed() {
  installed=
  for folder in "$lib" "$work/old"; do
    if [ -z "$installed" ] && [ -f "$folder/version" ]; then installed=$(cat "$folder/version"); fi
  done
}

host_arch() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# Whether version $1 comes before $2. What is behind a "-" comes before the version itself, as in 1.0.0-rc.1.
is_older() {
  [ "$1" != "$2" ] || return 1
  first=$(printf '%s\n%s\n' "$1" "$2" | tr - '~' | sort -V | head -n 1 | tr '~' -)
  [ "$first" = "$1" ]
}

# Also where it only remembers settings of a package that was removed.
is_known_to_dpkg() {
  command -v dpkg-query >/dev/null 2>&1 || return 1
  case $(dpkg-query -W -f '${db:Status-Status}' swarm 2>/dev/null) in
    "" | not-installed) return 1 ;;
  esac
}

# ---------------------------------------------------------------- --check

# Prints what is not as it should be, and how many things are. Fails when something is missing.
check_host() {
  report=$(sh "$here/check-host")
  status=$?
  case $status in 0 | 3) ;; *) fail "cannot look at this host: check-host ends with $status" ;; esac
  printf '%s\n' "$report" | awk -F '\t' '
    $1 == "check" && $3 == "ok" { fine++ }
    $1 == "check" && $3 != "ok" { printf "%-8s %s: %s%s\n", $3, $2, $4, $5 == "" ? "" : "\n         " $5 }
    END { printf "%d checks are fine\n", fine }'
  return $status
}

# ---------------------------------------------------------------- installing

# Files but those below /usr/lib/swarm, as "usr/bin/swarmd".
other_files() {
  sed 's/^[0-9a-f]*  //' "$1" | grep -v '^usr/lib/swarm/'
}

is_complete() {
  [ ! -e "$work" ] && [ "$installed" = "$version" ] && cmp -s "$here/manifest" "$lib/manifest" &&
    (cd / && grep -v "  ${config#/}\$" "$lib/manifest" | sha256sum -c --status 2>/dev/null) && [ -e "$config" ]
}

stage() {
  rm -rf "$work/new"
  mkdir -p "$work/new" || return 1
  cp -R "$here/root/usr/lib/swarm/." "$work/new/" || return 1
  cp "$here/manifest" "$here/install.sh" "$work/new/" || return 1
  open_to_all -R "$work/new" || return 1
  other_files "$here/manifest" | while read -r file; do
    mkdir -p "/${file%/*}" && cp "$here/root/$file" "/$file.swarm-new" && open_to_all "/$file.swarm-new" || exit 1
  done
}

# Who unpacked the tarball may have a umask that leaves everything to them alone; then only root could run swarmctl.
open_to_all() { chmod u=rwX,go=rX "$@"; }

# Takes back what stage() did; what was there before is as it was.
unstage() {
  other_files "$here/manifest" | while read -r file; do rm -f "/$file.swarm-new"; done
  rm -rf "$work/new"
  [ -e "$work/old" ] || [ -e "$work/started" ] || rm -rf "$work"
}

# A file of settings that somebody changed stays, and what this version has lies beside it.
place_config() {
  fresh=$config.swarm-new
  [ -e "$fresh" ] || return 0
  old=$(grep -h "  ${config#/}\$" "$work/old/manifest" 2>/dev/null | cut -d ' ' -f 1)
  if [ ! -e "$config" ] || cmp -s "$fresh" "$config"; then
    mv -f "$fresh" "$config"
  elif [ "$(sha256sum <"$config" | cut -d ' ' -f 1)" = "$old" ]; then
    mv -f "$fresh" "$config"
  else
    mv -f "$fresh" "$config.new"
    say "$config is yours and stays; what this version has is $config.new"
  fi
}

switch() {
  # What an earlier run has put aside is what was installed completely.
  if [ -e "$lib" ]; then
    if [ -e "$work/old" ]; then
      cat "$lib/manifest" >>"$work/old/manifest"
      rm -rf "$lib"
    else
      mv -T "$lib" "$work/old" || return 1
    fi
  fi
  mv -T "$work/new" "$lib" || return 1
  place_config
  other_files "$lib/manifest" | while read -r file; do
    [ ! -e "/$file.swarm-new" ] || mv -f "/$file.swarm-new" "/$file" || exit 1
  done || return 1
  [ ! -e "$work/old/manifest" ] || drop_files "$work/old/manifest" "$lib/manifest"
}

# Removes files of manifest $1 that manifest $2 does not have.
drop_files() {
  other_files "$1" | while read -r file; do
    grep -q "  $file\$" "$2" || [ "/$file" = "$config" ] || rm -f "/$file"
  done
}

# Where swarm was installed before, whether it starts at boot is as the administrator left it.
start_unit() {
  if has_systemctl && [ -e "$work/first" ]; then systemctl --quiet enable "$unit" || return 1; fi
  if ! has_systemctl || ! systemd_runs; then
    ! swarmd_runs || say "swarmd does not run under systemd here: restart it by the means that started it"
    return 0
  fi
  systemctl daemon-reload || return 1
  [ "$no_start" = no ] || return 0
  if systemctl --quiet is-enabled "$unit"; then systemctl restart "$unit"; else systemctl try-restart "$unit"; fi
}

# dpkg shall not think that these files are its own, or that the settings are its to remove. What it says of an empty
# manifest is that it leaves the data alone. Its removal stops swarmd, which starts again in a moment.
take_over_from_dpkg() {
  is_known_to_dpkg || return 0
  say "taking the place of the package that dpkg installed"
  if [ -e "$config" ]; then cp -p "$config" "$work/config" || return 1; fi
  mkdir -p "$lib" && touch "$lib/manifest" || return 1
  dpkg --purge swarm >/dev/null
}

# dpkg takes them away with what it knows.
restore_config() {
  [ -e "$work/config" ] && [ ! -e "$config" ] || return 0
  mkdir -p "${config%/*}" && cp -p "$work/config" "$config"
}

install_swarm() {
  need_root
  read_package
  check_package
  lock
  read_installed
  if [ -n "$installed" ] && is_older "$version" "$installed" && [ "$force" = no ]; then
    fail "$installed is installed, and $version is older: --force installs it all the same"
  fi
  if is_complete; then
    say "swarm $version is installed already"
    ensure_started
    return 0
  fi
  if ! check_host; then
    [ "$force" = yes ] || {
      say "nothing was changed; get what is missing, or use --force" >&2
      exit 3
    }
  fi
  put_in_place
  case $installed in
    "" | "$version") say "swarm $version is installed" ;;
    *) say "swarm $version is installed, where $installed was" ;;
  esac
}

put_in_place() {
  trap 'unstage; exit 130' INT TERM HUP
  [ ! -e "$work" ] || say "an earlier run did not come to its end: repairing"
  if ! stage; then
    unstage
    fail "cannot copy the files, see above; nothing was changed"
  fi
  # Nobody may listen any more, as when the connection is lost: what is begun is ended.
  trap '' INT TERM HUP PIPE
  # Of a first installation that was killed, the run that repairs it would think that swarm was here before.
  [ -n "$installed" ] || : >"$work/first"
  : >"$work/started"
  take_over_from_dpkg && restore_config && switch || fail "cannot put the files in their places, see above: run install.sh again"
  start_unit || fail "swarmd does not start: see systemctl status swarmd, journalctl -u swarmd; then run install.sh again"
  rm -rf "$work"
}

ensure_started() {
  has_systemctl && systemd_runs && [ "$no_start" = no ] || return 0
  systemctl --quiet is-enabled "$unit" || return 0
  systemctl start "$unit" ||
    fail "swarmd does not start: see systemctl status swarmd, journalctl -u swarmd"
}

# Two runs at a time would take each other's files. Held until this shell ends.
lock() {
  command -v flock >/dev/null 2>&1 || return 0
  exec 9<"$(dirname "$lib")"
  flock -n 9 || fail "another install.sh runs on this host"
}

# ---------------------------------------------------------------- removing

remove_swarm() {
  need_root
  if is_known_to_dpkg && [ ! -e "$work" ]; then
    fail "dpkg installed swarm here: remove it with apt-get $([ "$purge" = yes ] && echo purge || echo remove) swarm"
  fi
  lock
  if has_systemctl; then
    if systemd_runs; then
      systemctl stop "$unit" 2>/dev/null
      ! systemctl --quiet is-active "$unit" 2>/dev/null || fail "swarmd does not stop: see systemctl status swarmd"
    fi
    systemctl --quiet disable "$unit" 2>/dev/null
  fi
  ! swarmd_runs || fail "swarmd runs, and not under systemd: stop it first"
  # The manifests are the last to go, so that a run that is killed can be done again.
  for manifest in "$work/new/manifest" "$work/old/manifest" "$lib/manifest"; do
    [ -e "$manifest" ] || continue
    other_files "$manifest" | while read -r file; do
      rm -f "/$file.swarm-new"
      [ "/$file" = "$config" ] || rm -f "/$file"
    done
  done
  rm -rf "$work" "$lib"
  rmdir /usr/share/doc/swarm 2>/dev/null
  if has_systemctl && systemd_runs; then systemctl daemon-reload; fi
  say "swarm is removed"
  if [ "$purge" = yes ]; then
    purge_host || exit 1
    rm -rf /etc/swarm
    say "its settings and its data are removed"
  fi
}

#include purge.sh

# ---------------------------------------------------------------- the command line

# A function: the shell has read all of it before this file takes another's place or goes away.
main() {
  check=no remove=no no_start=no force=no purge=no
  while [ $# -gt 0 ]; do
    case $1 in
      --check) check=yes ;;
      --no-start) no_start=yes ;;
      --force) force=yes ;;
      --remove) remove=yes ;;
      --purge) purge=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *)
        usage >&2
        exit 2
        ;;
    esac
    shift
  done
  case $check$remove$purge in
    nonono) install_swarm ;;
    yesnono)
      read_package
      check_host || exit
      ;;
    noyes*) remove_swarm ;;
    # Above all --check --remove: who asks to look only has nothing removed.
    *)
      usage >&2
      exit 2
      ;;
  esac
  exit 0
}

main "$@"
