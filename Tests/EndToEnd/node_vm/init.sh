#!/bin/bash
# Process 1 of the node VM (harness/node_vm.py). Its root is the machine that runs the tests, read-only; over
# it come a layer in memory and what a node has: cgroup v2, vhost-vsock, empty /tmp and /run. Then the script
# `run` in NODE_SHARED runs, a directory that the kernel's command line names, and the VM ends.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

# The root as it will be, seen from outside of it.
make_root() {
  mount -t proc proc /proc
  mount -t tmpfs -o mode=0755 tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
  cd /mnt/root
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t devtmpfs devtmpfs dev
  mkdir dev/pts dev/shm
  ln -s /proc/self/fd dev/fd
  mount -t devpts -o mode=0600,ptmxmode=0666 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  mount -t tmpfs -o mode=0755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mkdir -p ".$NODE_SHARED"
  mount --bind "$NODE_SHARED" ".$NODE_SHARED"
}

case ${1:-} in
  '')
    make_root
    pivot_root . mnt
    exec chroot . "$0" inside </dev/console >/dev/console 2>&1
    ;;
  inside)
    umount -l /mnt
    mount --make-rshared /
    ip link set lo up
    for module in vhost_iotlb vhost vhost_vsock; do insmod "$NODE_MODULES/$module.ko"; done
    # This shell reaps what the script leaves behind.
    bash "$NODE_SHARED/run" || echo "the node's script ended with $?"
    busybox poweroff -f
    ;;
esac
