#!/bin/sh
# debian-root.sh SUITE ROOT PACKAGE...: unpack packages of Debian with all their dependencies into the directory ROOT, which
# becomes a root directory of its own. What was there is removed. The host's own apt state is not used or changed.
set -eu

suite=$1 root=$2
shift 2
mirror=$("$(dirname "$0")/debian-mirror.sh")
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
apt=$root.apt

rm -rf "$root" "$apt"
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/test" "$apt/state/lists/partial" "$apt/cache/archives/partial"
: > "$apt/status"
echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/sources.list"
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
apt-get -qq -y --download-only install base-files "$@" >&2
# base-files is first because it has the links of the merged /usr.
for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
rm -rf "$apt"
