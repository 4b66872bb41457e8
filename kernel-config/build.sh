#!/bin/bash
# Builds the guest's kernel: Debian's linux-source-6.1, allnoconfig and the fragments beside this
# script, as a stripped uncompressed ELF with a PVH entry, which QEMU starts without a boot loader. And
# the few modules of 70-node.config, which only a node of the tests has.
#
#   kernel-config/build.sh            build/guest/vmlinux and build/modules, from the cache where their
#                                     inputs are known
#   kernel-config/build.sh --config   only make and check the configuration, and print its path
#
# BULKHEAD_BUILD_DIR  where build/ is               (default: build in the checkout)
# BULKHEAD_CACHE      what outlives the checkout    (default: /var/cache/bulkhead)
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BULKHEAD_BUILD_DIR:-$(dirname "$here")/build}
cache=${BULKHEAD_CACHE:-/var/cache/bulkhead}/kernel
source=/usr/src/linux-source-6.1.tar.xz
# In the order in which they are loaded.
modules=(vhost_iotlb.ko vhost.ko vhost_vsock.ko)

die() { echo "kernel: $*" >&2; exit 1; }
say() { echo "kernel: $*"; }

# What the build needs, each with the package that brings it.
check_tools() {
  local missing=() tool
  [[ -f $source ]] || missing+=(linux-source-6.1)
  for tool in gcc make flex bison bc xz; do
    command -v "$tool" >/dev/null || missing+=("${tool/#xz/xz-utils}")
  done
  [[ -f /usr/include/gelf.h ]] || missing+=(libelf-dev)
  [[ ${#missing[@]} = 0 ]] || die "missing packages; run: apt-get install -y ${missing[*]}"
}

# One name for everything that decides what comes out.
input_hash() {
  {
    cat "$here"/*.config "$here/build.sh"
    dpkg-query -W -f '${Version}\n' linux-source-6.1
    gcc --version | head -1
    ld --version | head -1
  } | sha256sum | cut -c1-32
}

configure() {
  cat "$here"/*.config >"$work/asked.config"
  make -s -C "$work/linux-source-6.1" O="$work/obj" KCONFIG_ALLCONFIG="$work/asked.config" \
    allnoconfig >"$work/configure.log" 2>&1 || { cat "$work/configure.log" >&2; die "configuration failed"; }
}

# allnoconfig drops silently what is misspelt or lacks something it depends on.
check_configuration() {
  local lost=() line name
  while read -r line; do
    case $line in
      '# CONFIG_'*' is not set')
        name=${line#\# } name=${name%% *}
        if grep -q "^$name=" "$work/obj/.config"; then lost+=("$name (asked to be off)"); fi ;;
      CONFIG_*)
        grep -qxF -- "$line" "$work/obj/.config" || lost+=("$line") ;;
    esac
  done <"$work/asked.config"
  [[ ${#lost[@]} = 0 ]] || die "not as asked in the configuration:$(printf '\n  %s' "${lost[@]}")"
}

# Builds vmlinux and the modules, with a line of progress every few seconds.
compile() {
  local started=$SECONDS total count pid
  nice make -C "$work/linux-source-6.1" O="$work/obj" -j"$(nproc)" \
    KBUILD_BUILD_USER=bulkhead KBUILD_BUILD_HOST=bulkhead KBUILD_BUILD_TIMESTAMP='1970-01-01' \
    vmlinux modules >"$work/build.log" 2>&1 &
  pid=$!
  trap 'kill $pid 2>/dev/null' INT TERM
  while kill -0 $pid 2>/dev/null; do
    sleep 5
    count=$(grep -cE '^  (CC|AS|HOSTCC) ' "$work/build.log" || true)
    say "compiling: $count files, $((SECONDS - started)) s"
  done
  trap - INT TERM
  wait $pid || { tail -30 "$work/build.log" >&2; die "compilation failed; the log is above"; }
  total=$((SECONDS - started))
  say "compiled in $total s"
}

# A file appears whole or not at all: it is written beside its name, then renamed.
place() {
  install -D -m 0644 "$1" "$2.new.$$"
  mv -f "$2.new.$$" "$2"
}

# From the cache into build/. vmlinux came there last, so the modules are there where it is.
place_cached() {
  local module
  for module in "${modules[@]}"; do place "$cache/$key/$module" "$build/modules/$module"; done
  place "$cache/$key/vmlinux" "$build/guest/vmlinux"
}

check_tools
key=$(input_hash)
if [[ ${1:-} != --config && -f $cache/$key/vmlinux ]]; then
  place_cached
  say "$build/guest/vmlinux (cached)"
  exit 0
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
[[ ${1:-} = --config ]] || trap 'rm -rf "$work"' EXIT
say "unpacking $source"
tar -C "$work" -xf "$source"
mkdir "$work/obj"
configure
check_configuration
if [[ ${1:-} = --config ]]; then
  echo "$work/obj/.config"
  exit 0
fi
compile
strip -o "$work/vmlinux" "$work/obj/vmlinux"
readelf -n "$work/vmlinux" 2>/dev/null | grep -q Xen || die "vmlinux has no PVH entry note"
for module in "${modules[@]}"; do
  strip --strip-debug -o "$work/$module" "$work/obj/drivers/vhost/$module"
  place "$work/$module" "$cache/$key/$module"
done
place "$work/obj/.config" "$cache/$key/config"
place "$work/vmlinux" "$cache/$key/vmlinux"
place_cached
say "$build/guest/vmlinux, $(stat -c %s "$build/guest/vmlinux") bytes"
