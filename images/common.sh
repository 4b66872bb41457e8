# Sourced by the scripts that make images: a root filesystem of busybox, and layers by umoci.
# shellcheck shell=bash

# busybox_tree DIRECTORY: busybox with a link for each of its programs, and the files that a
# container expects.
busybox_tree() {
  local tree=$1 program
  mkdir -p "$tree"/{bin,etc,tmp,root,home/app,var/log}
  chmod 1777 "$tree/tmp"
  chmod 700 "$tree/root"
  cp /bin/busybox "$tree/bin/busybox"
  for program in $(/bin/busybox --list); do
    [ "$program" = busybox ] || ln -s busybox "$tree/bin/$program"
  done
  printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'app:x:1000:1000:app:/home/app:/bin/sh' \
    'nobody:x:65534:65534:nobody:/:/bin/false' >"$tree/etc/passwd"
  printf '%s\n' 'root:x:0:' 'app:x:1000:' 'staff:x:2000:app' 'audio:x:2001:app' 'nogroup:x:65534:' >"$tree/etc/group"
  chown 1000:1000 "$tree/home/app"
}

# new_image LAYOUT TAG: an image without layers in the OCI layout, which is made if need be.
new_image() {
  [ -e "$1/oci-layout" ] || umoci init --layout "$1"
  umoci new --image "$1:$2"
}

# add_layer LAYOUT TAG DIRECTORY: the directory's content as one more layer. Whiteouts are files named
# .wh.NAME, as the image specification has them. Not `umoci insert`, whose archives have no end.
add_layer() {
  local archive=$3.tar
  tar -C "$3" --sort=name --format=posix -cf "$archive" .
  umoci raw add-layer --image "$1:$2" "$archive"
  rm "$archive"
}
