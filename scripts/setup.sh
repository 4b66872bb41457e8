#!/usr/bin/env bash
# Installs what is missing to build, test and run Bulkhead: Debian packages, the users that libvirt
# expects, a Python environment and kubectl for the tests. Does nothing, in a second, where all is there.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

SWIFT_MINIMUM=6.2

check_swift() {
  local version
  command -v swift >/dev/null || die "Swift $SWIFT_MINIMUM or later is needed and Debian has no package of it: \
install the toolchain for Debian 12 from https://www.swift.org/install/linux and put its usr/bin into PATH"
  version=$(swift --version 2>&1) || die "$(command -v swift) does not run: $version"
  version=$(grep -oE 'Swift version [0-9]+\.[0-9]+' <<<"$version" | grep -oE '[0-9]+\.[0-9]+') ||
    die "$(command -v swift) does not say its version"
  [ "$(printf '%s\n%s\n' "$SWIFT_MINIMUM" "$version" | sort -V | head -n 1)" = "$SWIFT_MINIMUM" ] ||
    die "Swift $SWIFT_MINIMUM or later is needed, $(command -v swift) is $version: see https://www.swift.org/install/linux"
}

missing_packages() {
  local wanted
  wanted=$(sed 's/#.*//' "$root/scripts/packages.txt" | tr -s ' \n' '\n' | grep .)
  comm -23 <(sort -u <<<"$wanted") \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

# Some packages start their services when installed (a registry on a public port, libvirtd), which
# nobody asked for here: policy-rc.d tells Debian's tools not to, for as long as apt runs.
install_packages() {
  local policy=/usr/sbin/policy-rc.d kept=
  if [ -e "$policy" ]; then
    kept=$(mktemp)
    cp -a "$policy" "$kept"
  fi
  # shellcheck disable=SC2064
  trap "if [ -n '$kept' ]; then cp -a '$kept' '$policy' && rm -f '$kept'; else rm -f '$policy'; fi" EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  export DEBIAN_FRONTEND=noninteractive
  "$root/scripts/step.sh" apt-update 'Fetching the package lists' apt-get update
  "$root/scripts/step.sh" apt-install "Installing $# Debian packages" \
    apt-get install -y --no-install-recommends "$@"
}

# libvirt looks these up whatever user its QEMU processes run as. The numbers are Debian's own
# (package libvirt-daemon-system, which also brings services that aren't wanted here).
make_users() {
  getent group kvm >/dev/null || groupadd --system kvm
  getent group libvirt-qemu >/dev/null || groupadd --gid 64055 libvirt-qemu
  getent passwd libvirt-qemu >/dev/null ||
    useradd --key UID_MAX=65535 --uid 64055 --gid kvm --groups libvirt-qemu --home-dir /var/lib/libvirt --no-create-home \
      --shell /usr/sbin/nologin --comment 'Libvirt Qemu' libvirt-qemu
}

make_venv() {
  local python venv
  python=$(venv_python)
  venv=${python%/bin/python}
  [ -e "$venv/.complete" ] && return
  rm -rf "$venv"
  mkdir -p "$cache"
  # shellcheck disable=SC2016
  "$root/scripts/step.sh" venv 'Installing the Python packages of the tests' bash -c \
    'python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"' \
    - "$venv" "$root/scripts/requirements.txt"
  touch "$venv/.complete"
}

# Debian's kubectl is unpacked and not installed: its package can't stand beside that of anybody else's kubectl.
unpack_kubectl() {
  local tree=$cache/kubernetes-client
  [ -x "$tree/usr/bin/kubectl" ] && return
  mkdir -p "$cache"
  # shellcheck disable=SC2016
  "$root/scripts/step.sh" kubectl "Fetching Debian's kubectl for the tests" bash -ec \
    'work=$(mktemp -d "$1.XXXXXX") && trap "rm -rf \"$work\"" EXIT && cd "$work"
    apt-get download kubernetes-client || { apt-get update && apt-get download kubernetes-client; }
    dpkg-deb -x ./*.deb tree && rm -rf "$1" && mv -T tree "$1"' \
    - "$tree"
}

grep -q '^VERSION_CODENAME=bookworm' /etc/os-release ||
  printf 'note: made for and tested on Debian 12; package names may differ here\n' >&2
mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -gt 0 ] || ! getent passwd libvirt-qemu >/dev/null || ! getent group libvirt-qemu >/dev/null; then
  need_root 'Installing what is missing'
fi
if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi
make_users
check_swift
make_venv
unpack_kubectl
