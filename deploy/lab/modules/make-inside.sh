#!/bin/sh
# Runs make inside an extracted Debian: make-inside.sh ROOT ARGUMENT...
# Started in a mount namespace of its own (unshare), so what is mounted here nobody else sees, and it goes with it.
set -eu
root=$1
shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/usr/sbin:/bin LC_ALL=C make "$@"
