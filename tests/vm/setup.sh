#!/bin/sh
# Installs what `make test-vm` needs on a Debian machine, and the packages named as arguments. Does nothing if
# everything is installed.
set -eu

packages="qemu-system-x86 qemu-utils mmdebstrap busybox-static kmod xz-utils zstd cpio e2fsprogs
debian-archive-keyring ca-certificates python3 python3-pip $*"

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "tests/vm/setup.sh: run as root to install:$missing" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# The list is split into words on purpose.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
