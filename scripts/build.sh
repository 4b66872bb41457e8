#!/usr/bin/env bash
# Builds what is installed into build/bin and build/guest, the guest's kernel too if the cache does not have it.
#
# Two Swift builds, because guest and host are built for different things: the daemon for speed, with
# Swift's libraries inside, so that a node needs no Swift; the agent for size, as one static
# executable, because a copy of it lies in the memory of every pod.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"
mkdir -p build/bin build/guest build/log

HOST=(bulkheadd bulkheadctl bulkhead-vsock bulkhead-unpack)

# What is installed is stripped, so DWARF would be an eighth of the work for nothing.
release=(swift build -c release -debug-info-format none)

host_binaries() {
  local product
  for product in "${HOST[@]}"; do
    "${release[@]}" --static-swift-stdlib --product "$product"
  done
}

agent_binary() {
  "${release[@]}" --scratch-path .build-agent --product bulkhead-agent \
    -Xswiftc -Osize -Xswiftc -static-executable -Xlinker --gc-sections
}

# All at once: each Swift build keeps only one of two processors busy in its long last stretch, module after module, and
# the kernel's compilers, which are nice, take what is left.
binaries_and_kernel() {
  local agent kernel
  # Once, and not by both at the same time.
  swift package resolve
  kernel-config/build.sh >build/log/kernel.log 2>&1 &
  kernel=$!
  agent_binary >build/log/build-agent.log 2>&1 &
  agent=$!
  trap 'kill "$agent" "$kernel" 2>/dev/null' EXIT
  host_binaries
  finish "$agent" build-agent "the agent"
  finish "$kernel" kernel "the guest's kernel"
  trap - EXIT
}

# finish PID LOG WHAT: shows what it prints from now on, and waits for its end.
finish() {
  tail --pid="$1" -n 1 -f "build/log/$2.log"
  wait "$1" || die "$3 could not be built: $(tail -n 40 "build/log/$2.log")"
}

# One name for all that decides what comes out: SwiftPM takes half a minute to find that nothing is to be done.
inputs() {
  {
    swift --version 2>/dev/null
    find Sources guest-agent/Sources Package.swift scripts/build.sh -type f -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum
}

are_built() { # INPUTS
  local product
  for product in "${HOST[@]}" bulkhead-agent; do [ -x "build/bin/$product" ] || return 1; done
  [ "$1" = "$(cat build/log/binaries.inputs 2>/dev/null)" ]
}

# put FROM TO: a stripped copy, replaced in one step, since the old one may be running.
put() {
  [ "$1" -nt "$2" ] || return 0
  strip -o "$2.new" "$1"
  mv "$2.new" "$2"
}

case ${1:-} in
  --binaries-and-kernel) binaries_and_kernel ;;
  --agent-binary) agent_binary ;;
  '')
    # Before the build: what is edited meanwhile may not be in it.
    now=$(inputs)
    if are_built "$now"; then
      make --no-print-directory kernel
    else
      scripts/step.sh build 'Daemon, tools, agent and guest kernel (20 minutes the first time)' \
        "$0" --binaries-and-kernel
      for product in "${HOST[@]}"; do put ".build/release/$product" "build/bin/$product"; done
      put .build-agent/release/bulkhead-agent build/bin/bulkhead-agent
      echo "$now" >build/log/binaries.inputs
    fi
    scripts/step.sh guest-image "Guest's boot image" images/guest/build.sh
    ;;
  *) die "usage: build.sh [--binaries-and-kernel | --agent-binary]" ;;
esac
