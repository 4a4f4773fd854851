#!/bin/sh
# rubies.sh MINOR: prints a root directory and a command, with which Ruby 3.MINOR runs: "ROOT COMMAND".
# Both are Debian's: 3.1 from bookworm, 3.3 from trixie. That of the host's own suite is expected at /usr/bin; another one is
# unpacked with all that it depends on into a root of its own, because it needs a newer glibc. Later runs find the stamp
# and do nothing. The host's own apt state is not used or changed.
set -eu

minor=$1
if [ -x "/usr/bin/ruby3.$minor" ]; then
    echo "/ /usr/bin/ruby3.$minor"
    exit 0
fi
case $minor in
    1) suite=bookworm ;;
    *) suite=trixie ;;
esac
mirror=$("$(dirname "$0")/../support/debian-mirror.sh")
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/rubies
root=$cache/3.$minor
apt=$cache/apt-3.$minor

mkdir -p "$cache"
exec 9> "$cache/lock-3.$minor"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root /usr/bin/ruby3.$minor"
    exit 0
fi

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
apt-get -qq -y --download-only install base-files "ruby3.$minor" >&2
# base-files is first because it has the links of the merged /usr.
for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
chroot "$root" "/usr/bin/ruby3.$minor" -e 'require "socket"; require "json"' >&2
rm -rf "$apt"
touch "$root/.complete"
echo "$root /usr/bin/ruby3.$minor"
