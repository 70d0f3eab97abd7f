#!/bin/sh
# Whether this host can run swarm, and what it is. Needs a POSIX shell, coreutils and grep; changes nothing that stays.
# Also by ssh, before anything is installed: ssh root@host sh -s <check-host.sh
#
# usage: check-host [--data-root FOLDER] [--manager-port PORT] [--engine-port PORT] [--data-path-port PORT]
#
# Prints lines, the parts with a TAB between them; proto/host-report.ts reads them:
#   check NAME ok|missing|warning DETAIL HOW    HOW: what to do, empty where nothing is
#   fact NAME VALUE
# Exit status: 0 nothing is missing, 2 wrong usage, 3 something is missing.
# One file, as it is the standard input of a shell elsewhere; all of it is read before anything runs.
set -u
export LC_ALL=C PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

data_root=/var/lib/swarm
manager_port=2377
engine_port=2378
data_path_port=4789
encryption_port=51820
missing=0
missing_packages=
newline='
'

# ---------------------------------------------------------------- what is printed

# One line of words, without what would end a part of it.
clean() { printf '%s' "$*" | tr '\t\r\n' '   '; }

check() {
  [ "$2" != missing ] || missing=$((missing + 1))
  printf 'check\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(clean "$3")" "$(clean "${4-}")"
}

fact() { printf 'fact\t%s\t%s\n' "$1" "$(clean "$2")"; }

# Sets `at`. Not `command -v`: busybox's shell would name its own applets, which are not what agents run.
there() {
  rest=$PATH:
  while [ -n "$rest" ]; do
    at=${rest%%:*}/$1 rest=${rest#*:}
    if [ -f "$at" ] && [ -x "$at" ]; then return 0; fi
  done
  return 1
}

# How to get Debian packages here.
install_words() {
  if there apt-get; then echo "apt-get install $*"; else echo "install what Debian calls $*"; fi
}

# For what is slow or waits for others.
bounded() {
  if there timeout; then timeout 5 "$@"; else "$@"; fi
}

# Whether version $1 is at least $2: numbers between dots, what is behind the third or after another sign does not count.
at_least() {
  have=$1 need=$2
  for _ in 1 2 3; do
    have_part=${have%%.*} need_part=${need%%.*}
    have_part=${have_part%%[!0-9]*} need_part=${need_part%%[!0-9]*}
    [ "${have_part:-0}" -le "${need_part:-0}" ] || return 0
    [ "${have_part:-0}" -ge "${need_part:-0}" ] || return 1
    case $have in *.*) have=${have#*.} ;; *) have= ;; esac
    case $need in *.*) need=${need#*.} ;; *) need= ;; esac
  done
}

# ---------------------------------------------------------------- programs

# Program, Debian package, the version that is needed (-: any), whether hosts can go without (need|want), what for. The .deb
# depends on the same.
programs() {
  cat <<TABLE
runc            runc              -       need  runs containers
conmon          conmon            -       need  holds a container's output and records its exit
ip              iproute2          -       need  makes network namespaces, links and routes
bridge          iproute2          -       need  programs the neighbours of overlay networks
ss              iproute2          -       need  looks up sockets
nft             nftables          -       need  filters and translates packets
conntrack       conntrack         1.4.7   need  forgets connections to tasks that are gone
wg              wireguard-tools   -       want  sets keys and peers of encrypted networks
bsdtar          libarchive-tools  -       need  packs and unpacks image layers
socat           socat             -       need  gives commands in containers a terminal, and carries forwarded ports
ping            iputils-ping      -       need  checks the ways between hosts and between tasks
mount           mount             -       need  mounts layers and volumes
unshare         util-linux        -       need  gives each container's mounts a namespace
nsenter         util-linux        -       need  reaches into containers' networks
setpriv         util-linux        -       need  lets copies into volumes end with swarmd
setsid          util-linux        -       need  starts what outlives swarmd
bash            bash              -       need  copies what an image has into new volumes
find            findutils         -       need  counts what tasks have on disk
busybox         busybox-static    -       need  copies files out of containers and into them
tini-static     tini              -       want  is the first process of containers that ask for one (--init)
TABLE
}

# Prints the oldest version that is tested, where that matters: Debian 12's.
tested() {
  case $1 in
    runc) echo 1.1.5 ;;
    conmon) echo 2.1.6 ;;
    ip | bridge) echo 6.1 ;;
    nft) echo 1.0.6 ;;
    *) [ "$2" = - ] || echo "$2" ;;
  esac
}

# What the program prints about itself: its version is the first number with a dot.
words_of() {
  case $program in
    ip | bridge) bounded "$at" -V ;;
    *) bounded "$at" --version ;;
  esac 2>&1
}

check_programs() {
  while read -r program package version how_much purpose; do
    check_program
  done <<LIST
$(programs)
LIST
}

check_program() {
  if ! there "$program"; then
    result=missing
    [ "$how_much" = need ] || result=warning
    case " $missing_packages " in *" $package "*) ;; *) missing_packages="${missing_packages:+$missing_packages }$package" ;; esac
    check "program:$program" $result "$program is not there; it $purpose" "$(install_words "$package")"
    return
  fi
  oldest=$(tested "$program" "$version")
  if [ -z "$oldest" ]; then check "program:$program" ok "$at"; return; fi
  if ! said=$(words_of); then
    check "program:$program" missing "$at does not run: $said" "$(install_words --reinstall "$package")"
    return
  fi
  found=$(printf '%s\n' "$said" | grep -o '[0-9][0-9]*\.[0-9][0-9.]*' | head -n 1)
  if [ -n "$found" ] && ! at_least "$found" "$oldest"; then
    result=warning
    [ "$version" = - ] || result=missing
    check "program:$program" $result "$program $found is older than $oldest, the oldest that is tested" \
      "install $program $oldest or later: Debian 12's package $package has it"
  else
    check "program:$program" ok "version ${found:-unknown}"
  fi
}

# ---------------------------------------------------------------- the kernel

# Of the running kernel: the lines of its configuration that are asked about here. Empty: it does not say.
read_kernel_config() {
  wanted='^CONFIG_(OVERLAY_FS|VXLAN|VETH|NF_TABLES|NFT_(NAT|MASQ|CT|FIB_INET|HASH|NUMGEN|REJECT_INET)|NF_CONNTRACK|WIREGUARD|SECCOMP_FILTER|TUN)='
  for file in /proc/config.gz "/boot/config-$release" "/lib/modules/$release/config"; do
    [ -r "$file" ] || continue
    case $file in
      *.gz) kernel_config=$(zcat "$file" 2>/dev/null | grep -E "$wanted") ;;
      *) kernel_config=$(grep -E "$wanted" "$file") ;;
    esac
    [ -z "$kernel_config" ] || return 0
  done
  kernel_config=
}

# Whether the kernel has module $1, option $2: yes, no, gone (built as a module that is not on this disk) or unknown.
kernel_has() {
  if [ -d "/sys/module/$1" ]; then echo yes; return; fi
  case "$newline$kernel_config$newline" in
    *"${newline}CONFIG_$2=y$newline"*) echo yes; return ;;
  esac
  folder=/lib/modules/$release
  if grep -qs "/$1\.ko" "$folder/modules.dep" "$folder/modules.builtin"; then echo yes
  elif [ -n "$kernel_config" ]; then
    case "$newline$kernel_config" in *"${newline}CONFIG_$2=m"*) echo gone ;; *) echo no ;; esac
  elif [ -e "$folder/modules.dep" ]; then echo no
  else echo unknown
  fi
}

# Check $1: what was tried and failed ($4: with what words) or could not be tried (no $4). Module $2, option $3.
kernel_lacks() {
  has=$(kernel_has "$2" "$3")
  case $has in
    gone) check "kernel:$1" missing "module $2 of kernel $release is not on this disk" \
      "reboot, if the kernel was updated since the last start; else install the package linux-modules-extra-$release or linux-image-$release" ;;
    no) check "kernel:$1" missing "kernel $release has no $1 (CONFIG_$3)" "$(kernel_words)" ;;
    *)
      if [ -n "${4-}" ]; then
        check "kernel:$1" missing "$4" "$(kernel_words)"
      elif [ "$has" = yes ]; then
        check "kernel:$1" ok "CONFIG_$3"
      else
        check "kernel:$1" warning "cannot tell whether kernel $release has CONFIG_$3" "run check-host as root, with $5 installed"
      fi ;;
  esac
}

kernel_words() { echo "boot the distribution's own kernel (Debian: linux-image-${deb_arch:-amd64}), or one with this option"; }

# Whether things can be made in a network namespace, which goes with the program that is in it.
can_try() { [ "$user_id" = 0 ] && there unshare && unshare -n true 2>/dev/null; }

check_kernel() {
  release=$(uname -r)
  read_kernel_config
  if at_least "$release" 5.16; then check kernel ok "$release"
  else check kernel missing "kernel $release is older than 5.16" "boot a kernel of 5.16 or later (Debian 12 has 6.1)"; fi
  check_links
  check_nftables
  check_overlayfs
  check_wireguard
  check_namespaces
  check_seccomp
  check_cgroups
  check_forwarding
}

check_links() {
  for kind in vxlan veth; do
    option=VXLAN more='id 1 dstport 4789 local 127.0.0.1'
    [ $kind = vxlan ] || option=VETH more='peer name check1'
    if can_try && there ip; then
      # shellcheck disable=SC2086 # a list of words
      if said=$(unshare -n "$at" link add check0 type $kind $more 2>&1); then
        check "kernel:$kind" ok "a link can be made"
      else
        kernel_lacks $kind $kind $option "a link cannot be made: $said" iproute2
      fi
    else
      kernel_lacks $kind $kind $option "" iproute2
    fi
  done
}

# What the rules of overlay networks are made of. `nft -c` asks the kernel and changes nothing.
rules() {
  cat <<RULES
table inet check {
  comment "1"
  map backends { typeof ip daddr . numgen random mod 65536 : ip daddr . th dport; }
  map zones { typeof ether saddr : ct zone; }
  map gateways { type ipv4_addr : ipv4_addr; flags interval; }
  chain raw {
    type filter hook prerouting priority raw
    ct original zone set ether saddr map @zones accept
    fib saddr . iif oif missing drop
  }
  chain pre {
    type nat hook prerouting priority dstnat
    meta nfproto ipv4 meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . jhash ip saddr mod 65536 seed 7 map @backends
    meta nfproto ipv4 meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . numgen random mod 65536 map @backends
  }
  chain post {
    type nat hook postrouting priority srcnat
    snat ip to ip saddr map @gateways
    masquerade
  }
  chain in {
    type filter hook input priority filter
    ct state established accept
    fib daddr type local reject with icmpx port-unreachable
  }
}
table netdev check {
  chain out {
    type filter hook egress device "lo" priority 0
  }
}
RULES
}

check_nftables() {
  if can_try && there nft; then
    if said=$(rules | unshare -n "$at" -c -f - 2>&1 | head -n 1) && [ -z "$said" ]; then
      check kernel:nftables ok "filters, translates and tracks connections"
    else
      kernel_lacks nftables nf_tables NF_TABLES "the kernel takes no rules as overlay networks have them: $said" nftables
    fi
  else
    kernel_lacks nftables nf_tables NF_TABLES "" nftables
  fi
  kernel_lacks conntrack nf_conntrack NF_CONNTRACK "" nftables
}

# The folder itself, or the nearest above it that is there.
nearest() {
  folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  echo "$folder"
}

# Overlays are made where the data will be: a file system can be unfit for them.
check_overlayfs() {
  where=$(nearest "$data_root")
  if can_try && there mount && try=$(mktemp -d "$where/.check-host.XXXXXX" 2>/dev/null); then
    trap 'rm -rf "$try"' EXIT
    trap 'exit 130' INT TERM HUP
    mkdir "$try/lower" "$try/upper" "$try/work" "$try/root"
    said=$(unshare -m mount -t overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" overlay "$try/root" 2>&1)
    status=$?
    rm -rf "$try"
    trap - EXIT INT TERM HUP
    if [ $status = 0 ]; then
      check kernel:overlayfs ok "the file system at $where takes it"
    elif grep -qw overlay /proc/filesystems; then
      check kernel:overlayfs missing "the file system at $where ($(stat -f -c %T "$where" 2>/dev/null)) takes no overlay: $said" \
        "mount ext4, or xfs with ftype=1, at $data_root"
    else
      kernel_lacks overlayfs overlay OVERLAY_FS "overlays cannot be mounted: $said" util-linux
    fi
  elif grep -qw overlay /proc/filesystems; then
    check kernel:overlayfs ok "in /proc/filesystems"
  else
    kernel_lacks overlayfs overlay OVERLAY_FS "" util-linux
  fi
}

# Encrypted networks alone need it, or its stand-in in user space.
check_wireguard() {
  if can_try && there ip && unshare -n "$at" link add check0 type wireguard 2>/dev/null; then
    check kernel:wireguard ok "the kernel's own"
  elif there wireguard-go && [ -c /dev/net/tun ]; then
    check kernel:wireguard ok "wireguard-go stands in for the kernel's"
  elif [ "$(kernel_has wireguard WIREGUARD)" = yes ] && [ ! -d /sys/module/wireguard ]; then
    check kernel:wireguard ok "CONFIG_WIREGUARD"
  else
    missing_packages="${missing_packages:+$missing_packages }wireguard-go"
    check kernel:wireguard warning "the kernel has no WireGuard and wireguard-go is not there: this host can carry no encrypted networks" \
      "$(install_words wireguard-go)"
  fi
}

check_namespaces() {
  lacking=
  for kind in mnt net pid ipc uts cgroup; do
    [ -e "/proc/self/ns/$kind" ] || lacking="$lacking $kind"
  done
  if [ -z "$lacking" ]; then check kernel:namespaces ok "mnt net pid ipc uts cgroup"
  else check kernel:namespaces missing "the kernel has no namespaces of$lacking" "$(kernel_words)"; fi
}

check_seccomp() {
  if grep -q '^Seccomp_filters:' /proc/self/status || [ -e /proc/sys/kernel/seccomp/actions_avail ]; then
    check kernel:seccomp ok "filters system calls"
  else
    check kernel:seccomp missing "kernel $release filters no system calls (CONFIG_SECCOMP_FILTER)" "$(kernel_words)"
  fi
}

# Sets cgroup, too.
check_cgroups() {
  root=/sys/fs/cgroup cgroup='' lacking=''
  if [ -e $root/cgroup.controllers ]; then
    cgroup=2
    have=" $(cat $root/cgroup.controllers) " need="cpu cpuset memory pids io"
  elif [ -d $root/memory ] || [ -d $root/pids ] || [ -d $root/unified ]; then
    cgroup=1 have=" " need="cpu cpuset memory pids blkio devices freezer"
    for controller in $need; do [ ! -d "$root/$controller" ] || have="$have$controller "; done
  else
    check kernel:cgroups missing "no cgroups are mounted at $root" "boot with systemd, or mount cgroup2 at $root"
    return
  fi
  for controller in $need; do
    case $have in *" $controller "*) ;; *) lacking="$lacking $controller" ;; esac
  done
  if [ -z "$lacking" ]; then check kernel:cgroups ok "v$cgroup: $need"
  else
    how=$(kernel_words)
    case $lacking in *memory*) how="add cgroup_enable=memory to the kernel's command line and reboot" ;; esac
    check kernel:cgroups missing "cgroups v$cgroup lack$lacking" "$how"
  fi
}

# swarmd turns it on, and again when somebody turns it off: that must be possible, and nobody should.
check_forwarding() {
  file=/proc/sys/net/ipv4/ip_forward
  forwarding=$(cat $file 2>/dev/null)
  against=$(grep -lsE '^[[:space:]]*-?net[./]ipv4[./](ip_forward|conf[./]all[./]forwarding)[[:space:]]*=[[:space:]]*0' \
    /etc/sysctl.conf /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf | head -n 1)
  if [ -z "$forwarding" ]; then
    check kernel:forwarding missing "the kernel has no $file" "$(kernel_words)"
  elif [ "$forwarding" != 1 ] && [ "$user_id" = 0 ] && [ ! -w $file ]; then
    check kernel:forwarding missing "packets are not forwarded, and $file cannot be written" \
      "run sysctl -w net.ipv4.ip_forward=1 on the host that this one is a container of"
  elif [ -n "$against" ]; then
    check kernel:forwarding warning "$against turns forwarding off, and swarmd turns it on" \
      "set net.ipv4.ip_forward = 1 in $against"
  elif [ "$forwarding" = 1 ]; then
    check kernel:forwarding ok "on"
  else
    check kernel:forwarding ok "off; swarmd turns it on"
  fi
}

# ---------------------------------------------------------------- ports

# Prints the inode of the socket that has the port. $1: tcp or udp.
socket_at() {
  port_hex=$(printf '%04X' "$2")
  state=0A
  [ "$1" = tcp ] || state=07
  grep -hsE "^ *[0-9]+: [0-9A-F]+:$port_hex [0-9A-F:]+ $state " "/proc/net/$1" "/proc/net/${1}6" | {
    read -r _ _ _ _ _ _ _ _ _ inode _ && echo "$inode"
  }
}

# Prints the ID of the process that has the socket: none where it is the kernel's own, or a stranger's to who is not root.
owner_of() {
  # shellcheck disable=SC2010,SC2012 # names are numbers
  ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E "^/proc/|socket:\[$1\]" | while read -r first _; do
    case $first in
      /proc/*) process=${first#/proc/} process=${process%%/*} ;;
      *) echo "$process"; break ;;
    esac
  done
}

# $1: tcp or udp, $2: port, $3: what for, $4: the link of ours that has it in the kernel (-: none), $5: another port's flag.
check_port() {
  name=port:$2/$1
  inode=$(socket_at "$1" "$2")
  if [ -z "$inode" ]; then check "$name" ok "free"; return; fi
  if [ -d "/sys/class/net/$4" ]; then check "$name" ok "ours"; return; fi
  process=$(owner_of "$inode")
  if [ -z "$process" ]; then
    if [ "$user_id" != 0 ]; then
      check "$name" warning "a process that cannot be seen has it; it is for $3" "run check-host as root"
    else
      check "$name" missing "a network device that is not ours has it; it is for $3" \
        "find it with ip -d link show (Docker: docker swarm leave --force) and remove it$5"
    fi
    return
  fi
  words=$(tr '\0' ' ' <"/proc/$process/cmdline" 2>/dev/null)
  case $words in
    *swarmd* | *manager.js* | *manager/main.ts* | wireguard-go*) check "$name" ok "ours (process $process)"; return ;;
    *dockerd*) how="docker swarm leave --force, or stop Docker$5" ;;
    *) how="stop process $process$5" ;;
  esac
  check "$name" missing "process $process (${words%% *}) has it; it is for $3" "$how"
}

check_ports() {
  check_port tcp "$manager_port" "managers" - ""
  check_port tcp "$engine_port" "the engine" - ", or give swarmd another --engine-address"
  check_port udp "$data_path_port" "overlay networks" sw-vx0 ", or choose another with swarmctl cluster init --data-path-port"
  check_port udp "$encryption_port" "encrypted networks" sw-wg0 ""
}

# ---------------------------------------------------------------- the machine

# Free kibibytes where the folder is or will be, and its file system's place.
free_kib() {
  bounded df -Pk "$1" 2>/dev/null | {
    read -r _ && read -r _ _ _ available _ && echo "$available"
  }
}

# $1: folder, $2: what is needed in MiB, $3: what is well in MiB.
check_disk() {
  where=$(nearest "$1")
  kib=$(free_kib "$where")
  case $kib in '' | *[!0-9]*) check "disk:$1" warning "cannot tell how much is free" "run df $where"; return ;; esac
  mib=$((kib / 1024))
  how="free some space at $where, or mount a larger disk there"
  if [ $mib -lt "$2" ]; then check "disk:$1" missing "$mib MiB are free, $2 MiB are needed" "$how"
  elif [ $mib -lt "$3" ]; then check "disk:$1" warning "$mib MiB are free, which is little" "$how"
  elif [ "$user_id" = 0 ] && [ ! -w "$where" ]; then
    check "disk:$1" missing "$where cannot be written" "mount its file system read-write"
  else check "disk:$1" ok "$mib MiB are free"; fi
}

memory_kib() { grep '^MemTotal:' /proc/meminfo | tr -cd 0-9; }

check_memory() {
  mib=$(($(memory_kib) / 1024))
  if [ $mib -lt 256 ]; then check memory missing "$mib MiB; 256 MiB are needed" "give the machine more memory"
  elif [ $mib -lt 512 ]; then check memory warning "$mib MiB, which is little" "give the machine more memory"
  else check memory ok "$mib MiB"; fi
}

check_machine() {
  if [ "$user_id" = 0 ]; then check root ok "user 0"
  else check root missing "user $user_id is not root" "run it as root, or with sudo"; fi
  case $arch in
    other) check architecture missing "$(uname -m) is neither x86_64 nor aarch64" "use a machine of one of these" ;;
    *) check architecture ok "$arch" ;;
  esac
  if [ -d /run/systemd/system ]; then check systemd ok "runs"
  else check systemd warning "systemd does not run here, so swarmd is not started at boot" "have your init run /usr/bin/swarmd"; fi
  # Where it is installed already its dependencies are there, too; new files lie beside the old ones for a moment.
  if [ -n "$installed_version" ]; then check_disk /usr 150 300; else check_disk /usr 300 500; fi
  check_disk "$data_root" 1024 5120
  check_memory
  check_clock
  check_names
}

# Certificates and logs go by it.
check_clock() {
  if [ "$(date +%Y)" -lt 2025 ]; then
    check clock missing "it says $(date)" "set the clock, and $(install_words systemd-timesyncd)"
  elif [ -e /run/systemd/timesync/synchronized ] ||
    [ "$(bounded timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ] ||
    { there chronyc && bounded chronyc -n tracking 2>/dev/null | grep -q 'Leap status *: Normal'; }; then
    check clock ok "synchronised"
  else
    check clock warning "it is not synchronised, or nothing says that it is" \
      "$(install_words systemd-timesyncd) (or chrony), then timedatectl set-ntp true"
  fi
}

check_names() {
  if printf '%s\n' "$machine_id" | grep -qxE '[0-9a-f]{32}'; then check machine-id ok "$machine_id"
  else check machine-id warning "/etc/machine-id has none" "systemd-machine-id-setup"; fi
  if [ "$host_name" = localhost ] || [ "$host_name" = localhost.localdomain ] ||
    ! printf '%s\n' "$host_name" | grep -qxE '[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?'; then
    check hostname warning "\"$host_name\" tells nobody which host this is" "hostnamectl set-hostname NAME"
  else
    check hostname ok "$host_name"
  fi
}

# ---------------------------------------------------------------- facts

os_release() {
  for file in /etc/os-release /usr/lib/os-release; do
    # It is a shell's assignments.
    # shellcheck disable=SC1090 # one of these two
    if [ -r $file ]; then (. $file >/dev/null 2>&1; eval "printf '%s' \"\${$1-}\""); return; fi
  done
}

# NAME=ADDRESS/LENGTH,… of what others can reach, without our own links.
interfaces() {
  there ip || return 0
  "$at" -o addr show scope global 2>/dev/null | {
    list=
    while read -r _ name _ address _; do
      case $name in lo | sw-* | swv-*) continue ;; esac
      list="$list${list:+,}${name%%@*}=$address"
    done
    echo "$list"
  }
}

default_interface() {
  while read -r name destination _ flags _ _ _ mask _; do
    # Up, by a gateway.
    case "$destination $mask $flags" in "00000000 00000000 0003") echo "$name"; return ;; esac
  done </proc/net/route 2>/dev/null
}

now_ms() {
  ms=$(date +%s%3N)
  case $ms in *[!0-9]*) echo "$(date +%s)000" ;; *) echo "$ms" ;; esac
}

learn_facts() {
  user_id=$(id -u)
  host_name=$(uname -n)
  machine_id=$(cat /etc/machine-id 2>/dev/null)
  case $(uname -m) in
    x86_64) arch=x64 deb_arch=amd64 ;;
    aarch64) arch=arm64 deb_arch=arm64 ;;
    *) arch=other deb_arch= ;;
  esac
  installed_version=$(head -n 1 /usr/lib/swarm/version 2>/dev/null)
  # A run of install.sh that did not come to its end has installed nothing.
  [ ! -e /usr/lib/swarm.installing ] || installed_version=
}

print_facts() {
  free=$(free_kib "$(nearest "$data_root")")
  case $free in '' | *[!0-9]*) free=0 ;; esac
  swarmd_active=$(bounded systemctl is-active swarmd.service 2>/dev/null | head -n 1)
  apt=no
  ! there apt-get || apt=yes
  while read -r name value; do fact "$name" "$value"; done <<FACTS
arch $arch
kernel $release
os $(os_release PRETTY_NAME)
os_id $(os_release ID)
hostname $host_name
machine_id $machine_id
epoch_ms $(now_ms)
cgroup $cgroup
cpus $(nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo)
memory_bytes $(($(memory_kib) * 1024))
disk_free_bytes $((free * 1024))
interfaces $(interfaces)
default_interface $(default_interface)
installed_version $installed_version
swarmd_active $swarmd_active
apt $apt
user_id $user_id
missing_packages $missing_packages
FACTS
}

usage() {
  echo "usage: check-host [--data-root FOLDER] [--manager-port PORT] [--engine-port PORT] [--data-path-port PORT]" >&2
  exit 2
}

port() {
  case $1 in '' | *[!0-9]*) usage ;; esac
  echo "$1"
}

main() {
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
      --data-root) data_root=$2 ;;
      --manager-port) manager_port=$(port "$2") || exit 2 ;;
      --engine-port) engine_port=$(port "$2") || exit 2 ;;
      --data-path-port) data_path_port=$(port "$2") || exit 2 ;;
      *) usage ;;
    esac
    shift 2
  done
  learn_facts
  check_machine
  check_programs
  check_kernel
  check_ports
  print_facts
  [ $missing = 0 ] || exit 3
}

main "$@" </dev/null
