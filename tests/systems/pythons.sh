#!/bin/sh
# pythons.sh MINOR: prints a root directory and a command, with which CPython 3.MINOR runs: "ROOT COMMAND".
# 3.9, 3.11, 3.13, 3.14 and 3.15 are Debian's (bullseye, bookworm, trixie, sid), unpacked with all that they depend on into a
# root of their own, because newer ones need a newer glibc than the host has. Others are those that pyenv has built here, with
# the root /. Prints nothing where there is none. Later runs find the stamp and do nothing. The host's own apt state is not
# used or changed.
set -eu

minor=$1
case $minor in
    9) suite=bullseye ;;
    11) suite=bookworm ;;
    13) suite=trixie ;;
    14 | 15) suite=sid ;;
    *)
        for python in "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*"/bin/python3.$minor"; do
            [ ! -x "$python" ] || exec echo "/ $python"
        done
        exit 0
        ;;
esac
mirror=$("$(dirname "$0")/../support/debian-mirror.sh")
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/pythons
root=$cache/3.$minor
apt=$cache/apt-3.$minor

mkdir -p "$cache"
exec 9> "$cache/lock-3.$minor"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root /usr/bin/python3.$minor"
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
apt-get -qq -y --download-only install base-files "python3.$minor" >&2
# base-files is first because it has the links of the merged /usr.
for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
chroot "$root" "/usr/bin/python3.$minor" -c 'import ssl, asyncio' >&2
rm -rf "$apt"
touch "$root/.complete"
echo "$root /usr/bin/python3.$minor"
