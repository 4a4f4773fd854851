#!/bin/sh
# Installs what `make test-vm` needs on a Debian machine, and the packages named as arguments. Does nothing if
# everything is installed.
set -eu
exec "$(dirname "$0")/../support/debian-packages.sh" \
    qemu-system-x86 qemu-utils mmdebstrap busybox-static kmod xz-utils zstd cpio e2fsprogs \
    debian-archive-keyring ca-certificates python3 python3-pip "$@"
