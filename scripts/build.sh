#!/usr/bin/env bash
# Builds what is installed into build/bin and build/guest. The kernel is there already.
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

host_binaries() {
  local product
  for product in "${HOST[@]}"; do
    swift build -c release --static-swift-stdlib --product "$product"
  done
}

agent_binary() {
  swift build -c release --scratch-path .build-agent --product bulkhead-agent \
    -Xswiftc -Osize -Xswiftc -static-executable -Xlinker --gc-sections
}

# Both at once: each keeps only one of two processors busy in its long last stretch, module after module.
binaries() {
  local agent
  # Once, and not by both at the same time.
  swift package resolve
  agent_binary >build/log/build-agent.log 2>&1 &
  agent=$!
  trap 'kill "$agent" 2>/dev/null' EXIT
  host_binaries
  wait "$agent" || die "the agent could not be built: $(tail -n 40 build/log/build-agent.log)"
  trap - EXIT
}

# put FROM TO: a stripped copy, replaced in one step, since the old one may be running.
put() {
  [ "$1" -nt "$2" ] || return 0
  strip -o "$2.new" "$1"
  mv "$2.new" "$2"
}

case ${1:-} in
  --binaries) binaries ;;
  --agent-binary) agent_binary ;;
  '')
    scripts/step.sh build 'Daemon, tools and agent, release (12 minutes the first time)' "$0" --binaries
    for product in "${HOST[@]}"; do put ".build/release/$product" "build/bin/$product"; done
    put .build-agent/release/bulkhead-agent build/bin/bulkhead-agent
    scripts/step.sh guest-image "Guest's boot image" images/guest/build.sh
    ;;
  *) die "usage: build.sh [--binaries | --agent-binary]" ;;
esac
