#!/usr/bin/env bash
# build.sh LAYOUT: makes the images of the end-to-end tests in an OCI layout.
#   plain   root, no entrypoint, one layer over busybox, with net (net.c) for the tests of the network
#   app     a user, environment, entrypoint, command, working directory that is missing, SIGUSR1 as
#           stop signal; four layers with whiteouts of a file, a directory and a directory's content
#   other   shares plain's layers and adds one
set -euo pipefail
# shellcheck source=images/common.sh
. "$(dirname "$0")/../common.sh"
layout=${1:?usage: build.sh LAYOUT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

busybox_tree "$work/base"
mkdir -p "$work/data/data/"{kept,deleted,replaced}
echo kept >"$work/data/data/kept/file"
echo deleted >"$work/data/data/kept/gone"
echo deleted >"$work/data/data/deleted/file"
echo old >"$work/data/data/replaced/old"
ln "$work/data/data/kept/file" "$work/data/data/kept/link"
ln -s kept/file "$work/data/data/symlink"
printf '#!/bin/sh\nexec "$@"\n' >"$work/data/data/setuid"
chmod 4755 "$work/data/data/setuid"
dd if=/dev/zero bs=1024 count=300 2>/dev/null | tr '\0' x >"$work/data/data/big"
mkdir -p "$work/script/bin"
cat >"$work/script/bin/show" <<'SCRIPT'
#!/bin/sh
# Prints what it was started as, a line each.
for argument in "$@"; do echo "arg $argument"; done
echo "cwd $(pwd)"
echo "uid $(id -u) gid $(id -g) groups $(id -G)"
echo "colour $COLOUR"
SCRIPT
cat >"$work/script/bin/wait-usr1" <<'SCRIPT'
#!/bin/sh
trap 'echo got USR1; exit 7' USR1
trap 'echo got TERM; exit 8' TERM
echo waiting
while :; do sleep 0.05; done
SCRIPT
gcc -static -O2 -Wno-deprecated-declarations -o "$work/script/bin/net" "$(dirname "$0")/net.c" 2>/dev/null
chmod 755 "$work/script/bin/"*
mkdir -p "$work/changes/data/kept" "$work/changes/data/replaced"
touch "$work/changes/data/kept/.wh.gone" "$work/changes/data/.wh.deleted" "$work/changes/data/replaced/.wh..wh..opq"
echo new >"$work/changes/data/replaced/new"
mkdir -p "$work/other/etc"
echo other >"$work/other/etc/other"

new_image "$layout" plain
add_layer "$layout" plain "$work/base"
add_layer "$layout" plain "$work/script"
umoci config --image "$layout:plain" --config.env PATH=/bin

umoci tag --image "$layout:plain" other
add_layer "$layout" other "$work/other"

umoci tag --image "$layout:plain" app
add_layer "$layout" app "$work/data"
add_layer "$layout" app "$work/changes"
umoci config --image "$layout:app" --config.env COLOUR=green --config.user app:staff \
  --config.workingdir /srv/made/here --config.entrypoint /bin/show --config.cmd from-image \
  --config.stopsignal SIGUSR1 --config.label org.example.purpose=test
umoci gc --layout "$layout"
