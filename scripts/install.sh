#!/usr/bin/env bash
# Installs build/ by the Filesystem Hierarchy Standard, below DESTDIR. --uninstall takes it away again,
# except for the configuration and the state.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}
bin=$DESTDIR$PREFIX/bin
sbin=$DESTDIR$PREFIX/sbin
helpers=$DESTDIR$PREFIX/libexec/bulkhead
guest=$DESTDIR$PREFIX/lib/bulkhead/guest
units=$DESTDIR$PREFIX/lib/systemd/system
config=$DESTDIR/etc/bulkhead

uninstall() {
  rm -f "$bin/bulkheadctl" "$sbin/bulkheadd" "$units/bulkheadd.service"
  rm -rf "$helpers" "$DESTDIR$PREFIX/lib/bulkhead"
}

# A node has no Swift: nothing may be linked with its libraries.
check_linkage() {
  local file
  for file in "$@"; do
    if ldd "$file" 2>/dev/null | grep -E 'libswift|libFoundation|lib_Foundation|not found'; then
      die "$file needs libraries that a node does not have"
    fi
  done
}

install_all() {
  check_linkage build/bin/*
  install -D -m 755 build/bin/bulkheadctl "$bin/bulkheadctl"
  install -D -m 755 build/bin/bulkheadd "$sbin/bulkheadd"
  install -D -m 755 -t "$helpers" build/bin/bulkhead-vsock build/bin/bulkhead-unpack
  install -d -m 755 "$guest"
  install -m 644 -t "$guest" build/guest/*
  install -D -m 644 deploy/bulkheadd.service "$units/bulkheadd.service"
  if [ ! -e "$config/config.toml" ]; then
    install -d -m 755 "$config"
    build/bin/bulkheadd --print-default-config >"$config/config.toml.new"
    chmod 600 "$config/config.toml.new"
    mv "$config/config.toml.new" "$config/config.toml"
  fi
}

case ${1:-} in
  --uninstall) uninstall ;;
  '')
    [ -n "$DESTDIR" ] || need_root 'Installing'
    install_all
    say "Installed below ${DESTDIR:-/}; next: systemctl daemon-reload && systemctl enable --now bulkheadd"
    ;;
  *) die "usage: install.sh [--uninstall]" ;;
esac
