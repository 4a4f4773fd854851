#!/bin/sh
# Does all that a contributor does with Vagrant (whole-way.sh), on this machine, by emulation, with the box that box.py
# built. libvirt, its networks and all processes are in namespaces of this run. They end with it, even if it is killed,
# and the machine's own libvirt is not touched. All files are in one directory, which is removed.
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
        # When the first process of the namespaces ends, the kernel ends all others. Then unshare returns.
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

# qemu runs as another user and must reach the disk and the kernel, so they are not below a home directory.
work=$(mktemp -d /var/tmp/closetrace-vagrant.XXXXXX)
chmod 755 "$work"
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child \
    "$here/whole-way.sh" "$suite" "$box" "$work" &
namespaces=$!
wait "$namespaces"
