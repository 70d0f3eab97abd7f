#!/bin/sh
# Makes a lab's host look like one that was just installed: folders of its own to write to, an SSH server, and a systemctl
# that knows one unit. Runs inside the box. usage: prepare.sh FOLDER NAME CGROUP; FOLDER: the host's own, with what lies there:
#   authorized_keys   who may log in as root
set -eu
folder=$1 name=$2 cgroup=$3

mkdir -p "$folder/over"
# The lab's own are mounted over those below, and would be hidden.
cp /etc/hosts /etc/resolv.conf "$folder/"
for path in usr etc var/cache; do
  upper=$folder/over/$path
  mkdir -p "$upper" "$folder/work/$path"
  mount -t overlay overlay -o "lowerdir=/$path,upperdir=$upper,workdir=$folder/work/$path" "/$path"
done
for file in hosts resolv.conf; do cat "$folder/$file" >"/etc/$file"; done
mkdir -p /etc/swarm /etc/ssh/swarm /run/sshd /run/systemd/system

# Where several hosts share a kernel, each has its part of its cgroups.
printf 'cgroup-parent: %s\ninsecure-registry: ["registry:5000"]\n' "$cgroup" >/etc/swarm/swarmd.yml
printf '%s\n' "$name" >/etc/hostname
printf '%s' "$name" | sha256sum | cut -c 1-32 >/etc/machine-id

cat >/usr/bin/systemctl <<'STUB'
#!/bin/sh
# start, stop and their like for swarmd, without systemd.
pidfile=/run/swarmd.pid
cd /
active() { [ -e $pidfile ] && kill -0 "$(cat $pidfile)" 2>/dev/null; }
start() {
  active && return
  [ -x /usr/bin/swarmd ] || { echo "Unit swarmd.service not found." >&2; exit 5; }
  setsid /usr/bin/swarmd </dev/null >>/var/lib/swarm/swarmd.log 2>&1 &
  echo $! >$pidfile
  # As with Type=notify: it answers when this ends.
  for _ in $(seq 300); do [ -S /run/swarm/swarmd.sock ] && return; sleep 0.1; done
  echo "swarmd does not start" >&2
  exit 1
}
stop() {
  active || return 0
  kill "$(cat $pidfile)"
  for _ in $(seq 300); do active || return 0; sleep 0.1; done
}
case " $* " in
  *" is-active "*) if active; then echo active; else echo inactive; exit 3; fi ;;
  *" show "*) ;;
  *" restart "*) stop; start ;;
  *" start "* | *" --now "*) case " $* " in *swarmd*) start ;; esac ;;
  *" stop "*) case " $* " in *swarmd*) stop ;; esac ;;
esac
STUB
chmod 755 /usr/bin/systemctl

ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/swarm/host_key
cat >/etc/ssh/swarm/sshd_config <<CONFIG
Port 22
HostKey /etc/ssh/swarm/host_key
AuthorizedKeysFile $folder/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PidFile /run/sshd.pid
CONFIG
/usr/sbin/sshd -f /etc/ssh/swarm/sshd_config -E "$folder/sshd.log"
cat /etc/ssh/swarm/host_key.pub
