#!/usr/bin/env bash
# build.sh LAYOUT: makes the image that `make demo` runs, tag "demo", in an OCI layout.
set -euo pipefail
# shellcheck source=images/common.sh
. "$(dirname "$0")/../common.sh"
layout=${1:?usage: build.sh LAYOUT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

busybox_tree "$work/base"
mkdir -p "$work/app/bin"
cat >"$work/app/bin/hello" <<'SCRIPT'
#!/bin/sh
echo "Hello from $(hostname), a pod in a virtual machine of its own."
echo "I am $(id -un), my kernel is $(uname -r), and it is up for $(cut -d ' ' -f 1 /proc/uptime) seconds."
echo "This machine has $(nproc) CPU and $(($(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024)) MiB of memory."
while [ ! -e /tmp/done ]; do sleep 0.1; done
echo "Someone made /tmp/done, so I am done."
SCRIPT
chmod 755 "$work/app/bin/hello"

new_image "$layout" demo
add_layer "$layout" demo "$work/base"
add_layer "$layout" demo "$work/app"
umoci config --image "$layout:demo" --config.env PATH=/bin --config.user app --config.workingdir /home/app \
  --config.cmd /bin/hello --author Bulkhead
umoci gc --layout "$layout"
