#!/bin/bash
# Boot this machine's own systemd as PID 1 of fresh namespaces, over a throw-away overlay of /.
#   boot_systemd.sh up NAME          start it; binds "source:target" pairs from BINDS read-only
#   boot_systemd.sh sh NAME CMD…     run a command inside
#   boot_systemd.sh down NAME        end it and remove its cgroup
# Needs root with CAP_SYS_ADMIN, overlayfs and a cgroup2 mount. Changes nothing outside but /run/NAME and one cgroup.
set -eu
verb=$1 name=$2
state=/run/$name
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/$name

inside() { cat "$state/pid"; }

boot() {
  set -eu
  mount -t tmpfs -o size=1g tmpfs "$state/disk"
  mkdir "$state/disk/upper" "$state/disk/work" "$state/disk/root"
  root=$state/disk/root
  mount -t overlay overlay -o "lowerdir=/,upperdir=$state/disk/upper,workdir=$state/disk/work" "$root"
  mount -t proc proc "$root/proc"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys" # else systemd-sysctl changes the machine's kernel
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"; done
  mknod -m 666 "$root/dev/tty" c 5 0
  mkdir "$root/dev/shm"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" # tmpfiles.d empties it at boot: never the machine's own
  for pair in ${BINDS:-}; do
    mkdir -p "$root/${pair#*:}"
    mount --bind "${pair%%:*}" "$root/${pair#*:}"
    mount -o remount,bind,ro "$root/${pair#*:}"
  done
  : >"$root/etc/machine-id"
  rm -f "$root"/etc/systemd/system/multi-user.target.wants/* # nothing of the machine's starts by itself
  mkdir "$root/run/outside"
  cd "$root"
  pivot_root . run/outside
  umount -l /run/outside
  mount --make-rshared / # PID 1 of a container does not do this itself
  exec env -i container=ci PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target
}

case $verb in
up)
  mkdir -p "$state/disk" "$cgroup"
  export state
  (
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec setsid unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child --propagation private \
      bash -c "$(declare -f boot); boot"
  ) </dev/null >"$state/console" 2>&1 &
  for _ in $(seq 300); do
    child=$(cat "/proc/$!/task/$!/children" 2>/dev/null | awk '{ print $1 }')
    if [ -n "$child" ] && [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ]; then
      echo "$child" >"$state/pid"
      case $(nsenter -t "$child" -a systemctl is-system-running 2>/dev/null) in running | degraded) exit 0 ;; esac
    fi
    sleep 0.1
  done
  cat "$state/console"
  exit 1
  ;;
sh)
  shift 2
  exec nsenter -t "$(inside)" -a "$@"
  ;;
down)
  if [ -e "$state/pid" ]; then
    pid=$(inside)
    nsenter -t "$pid" -a systemctl --no-block poweroff 2>/dev/null || true
    for _ in $(seq 50); do [ -d "/proc/$pid" ] && sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  fi
  sleep 0.2
  find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
  rm -rf "$state"
  ;;
esac
