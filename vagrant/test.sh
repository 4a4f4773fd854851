#!/bin/sh
# Runs the whole way of a contributor with Vagrant (whole-way.sh) on this machine alone and by emulation, with the box
# that box.py built. libvirt, its networks and all processes live in namespaces of this run: they end with it, however
# it ends, and a libvirt of this machine is not touched. All files are in one directory, which goes too.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
suite=${1:-bookworm}
box=$here/../build/closetrace-$suite.box
test -e "$box" || { echo "no $box: make vagrant-box" >&2; exit 2; }
test "$(id -u)" = 0 || { echo "run as root: it starts libvirtd" >&2; exit 2; }

work="" namespaces=""
tidy() {
    status=$?
    trap '' INT TERM HUP
    if [ -n "$namespaces" ]; then
        # The first process takes all others with it; only then does unshare return.
        pkill -KILL -P "$namespaces" || kill -KILL "$namespaces" 2>/dev/null || true
        wait "$namespaces" || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# qemu runs as another user and must reach the disk and the kernel: not below a home directory.
work=$(mktemp -d /var/tmp/closetrace-vagrant.XXXXXX)
chmod 755 "$work"
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child \
    "$here/whole-way.sh" "$suite" "$box" "$work" &
namespaces=$!
wait "$namespaces"
