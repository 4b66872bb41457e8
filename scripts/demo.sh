#!/usr/bin/env bash
# From nothing to a pod in a virtual machine: sets up, builds, starts a daemon of its own with
# everything in a temporary directory, pulls an image from a registry on loopback, runs it, and
# cleans up, also after a failure and after Ctrl-C.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"

base='' daemon='' registry='' runner=''
phases=()

# A phase is what happened since the last one.
phase() {
  phases+=("$(printf '%-44s %8.2f s' "$1" "$(bc <<<"$EPOCHREALTIME - $since")")")
  since=$EPOCHREALTIME
}

ctl() { build/bin/bulkheadctl --socket "$base/run/bulkhead.sock" "$@"; }

# stop PID SIGNAL: ends a process of this script's and waits for it.
stop() {
  if [ -n "$1" ] && kill -0 "$1" 2>/dev/null; then
    kill -s "$2" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
  fi
}

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  if [ "$status" != 0 ] && [ -e "$base/daemon.log" ]; then
    printf '\nThe demo failed. The end of the daemon'\''s log:\n' >&2
    tail -n 25 "$base/daemon.log" >&2
  fi
  # SIGINT lets bulkheadctl take its pod away.
  stop "$runner" INT
  stop "$daemon" TERM
  stop "$registry" TERM
  if [ -n "$base" ]; then
    # Only after a failure is there anything left: VMs outlive their daemon.
    pgrep -f -- "$base/" | xargs -r kill -9 2>/dev/null
    awk -v base="$base/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l
    rm -rf "$base"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# wait_for WHAT SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what did not happen in time"
    if [ -n "$daemon" ] && ! kill -0 "$daemon" 2>/dev/null; then die "the daemon ended"; fi
    sleep 0.05
  done
}

make_config() {
  cat >"$base/config.toml" <<TOML
[daemon]
state_dir = "$base/state"
run_dir = "$base/run"
[guest]
kernel = "$root/build/guest/vmlinux"
boot_image = "$root/build/guest/boot.erofs"
[images]
certs_dir = "$base/certs.d"
[network]
required = false
[libexec]
vsock = "$root/build/bin/bulkhead-vsock"
unpack = "$root/build/bin/bulkhead-unpack"
TOML
  mkdir -p "$base/certs.d/$host"
  printf 'server = "http://%s"\n' "$host" >"$base/certs.d/$host/hosts.toml"
  # What libvirt found out about the emulators the last time; it checks itself whether it still holds.
  if [ -d "$cache/libvirt" ]; then
    mkdir -p "$base/state/libvirt"
    cp -r "$cache/libvirt" "$base/state/libvirt/cache"
  fi
}

start_registry() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  host=127.0.0.1:$port
  cat >"$base/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $base/registry}}
http: {addr: '$host'}
YAML
  docker-registry serve "$base/registry.yml" >"$base/registry.log" 2>&1 </dev/null &
  registry=$!
  wait_for 'the registry' 30 curl_registry
}
curl_registry() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "http://$host/v2/"; }

need_root 'Starting virtual machines'
since=$EPOCHREALTIME
scripts/setup.sh
phase 'Set-up'
make --no-print-directory build
phase 'Build'

say 'An image of two layers, in a registry on loopback'
base=$(mktemp -d /tmp/bhXXXXXX)
# Each VM runs as a user of its own, which must get to its files.
chmod 711 "$base"
images/demo/build.sh "$base/layout" >"$base/image.log" 2>&1 || { cat "$base/image.log"; die 'umoci failed'; }
start_registry
image=$host/demo/hello:1
skopeo copy --quiet --dest-tls-verify=false "oci:$base/layout:demo" "docker://$image"
echo "    $image"
phase 'Image and registry'

say 'The daemon, with its own embedded libvirt'
make_config
build/bin/bulkheadd --config "$base/config.toml" >"$base/daemon.log" 2>&1 </dev/null &
daemon=$!
wait_for "the daemon's start" 120 ctl version
ctl version | sed 's/^/    /'
mkdir -p "$cache"
[ -d "$cache/libvirt" ] || cp -r "$base/state/libvirt/cache" "$cache/libvirt"
phase 'Daemon start'

say 'Pulling the image'
ctl image pull "$image" | sed 's/^/    /'
phase 'Image pull'

say 'A pod with a container from it, in a virtual machine of its own'
ctl run "$image" >"$base/output" 2>&1 </dev/null &
runner=$!
wait_for "the container's output" 120 grep -q 'MiB of memory' "$base/output"
sed 's/^/    | /' "$base/output"
phase 'Pod, from nothing to its last line'

container=$(ctl containers --quiet)
pod=$(ctl pods --quiet)
say 'A process more in the container'
echo "    \$ bulkheadctl exec ${container:0:12} -- cat /proc/version"
guest_kernel=$(ctl exec "$container" -- uname -r)
ctl exec "$container" -- cat /proc/version | sed 's/^/    | /'
phase 'Two execs'
printf '\n    kernel of the pod:  %s\n    kernel of the host: %s\n' "$guest_kernel" "$(uname -r)"
[ "$guest_kernel" != "$(uname -r)" ] || die 'the pod runs on the kernel of the host'

say 'The pod as the operator sees it'
ctl inspect "$pod" | sed 's/^/    /'
since=$EPOCHREALTIME

say 'The container ends, and its pod with it'
ctl exec "$container" -- touch /tmp/done
wait "$runner"
runner=''
tail -n 1 "$base/output" | sed 's/^/    | /'
[ -z "$(ctl pods --quiet)" ] || die 'the pod is still there'
phase 'End of container, pod and VM'

say 'How long it took'
printf '    %s\n' "${phases[@]}"
