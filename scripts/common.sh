# Sourced by the other scripts: where things lie, and how they speak to people.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is costly and depends only on its inputs is kept here, outside of the checkout.
# shellcheck disable=SC2034
cache=${BULKHEAD_CACHE:-/var/cache/bulkhead}

say() { printf '\033[1m==>\033[0m %s\n' "$*" | strip_colour; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Colours are for terminals only.
strip_colour() {
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed $'s/\033\\[[0-9;]*m//g'; fi
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root: run it as root or with sudo"
}

# The Python of the virtual environment that scripts/requirements.txt describes.
venv_python() {
  local hash
  hash=$(cat "$root/scripts/requirements.txt" <(python3 --version) | sha256sum | cut -c1-16)
  echo "$cache/venv-$hash/bin/python"
}
