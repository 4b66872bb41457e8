#!/bin/bash
# Makes the guest's boot image: an EROFS whose /sbin/init is the agent, and the empty directories
# that the agent mounts over. It is the guest's root file system, on a read-only virtio-blk disk that
# all VMs share: pages of the agent are read when they are touched, out of the host's page cache, and
# no guest memory is spent on an initramfs.
#
#   images/guest/build.sh [INIT [OUTPUT]]
#
# INIT    a static executable  (default: build/bin/bulkhead-agent)
# OUTPUT  the image            (default: build/guest/boot.erofs)
# BULKHEAD_BUILD_DIR  where build/ is (default: build in the checkout)
#
# Not compressed, since decompression would cost each boot more than it saves; and the same bytes for
# the same agent: no times, fixed UUID, all root's.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BULKHEAD_BUILD_DIR:-$(cd "$here/../.." && pwd)/build}
init=${1:-$build/bin/bulkhead-agent}
output=${2:-$build/guest/boot.erofs}

die() { echo "boot image: $*" >&2; exit 1; }

command -v mkfs.erofs >/dev/null || die "missing mkfs.erofs; run: apt-get install -y erofs-utils"
[[ -x $init ]] || die "$init does not exist; build the agent first"

root=$(mktemp -d)
trap 'rm -rf "$root" "$output.new.$$"' EXIT
chmod 0755 "$root"
mkdir -m 0755 "$root"/{proc,sys,dev,run,tmp,etc,var,mnt,root,sbin}
install -m 0755 "$init" "$root/sbin/init"

mkdir -p "$(dirname "$output")"
mkfs.erofs --quiet -T 0 -U 6b756c62-6561-4864-8d62-6f6f74726f6f --all-root -x -1 \
  "$output.new.$$" "$root" >/dev/null || die "mkfs.erofs failed"
chmod 0644 "$output.new.$$"
mv -f "$output.new.$$" "$output"
echo "boot image: $output, $(stat -c %s "$output") bytes"
