#!/bin/sh
# jdks.sh MAJOR: unpack a headless JRE of Debian (21 and 25 from trixie, others from sid) with all its dependencies.
# The directory is the root directory of the test JVMs, because they need a newer glibc than Debian 12 has. A JRE is
# enough: on SIGQUIT the JVM itself prints the thread dump for the tests, and the host's javac compiles.
#
# Prints the directory. Later runs find the stamp and do nothing. The host's own apt state is not used or changed.
set -eu

major=$1
case $major in
    21 | 25) suite=trixie ;;
    *) suite=sid ;;
esac
mirror=$("$(dirname "$0")/../support/debian-mirror.sh")
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/jdks
root=$cache/$major
apt=$cache/apt-$major

mkdir -p "$cache"
exec 9> "$cache/lock-$major"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root"
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
apt-get -qq -y --download-only install base-files "openjdk-$major-jre-headless" >&2
# base-files is first because it has the links of the merged /usr.
for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
java=/usr/lib/jvm/java-$major-openjdk-amd64/bin/java
[ "$major" = 8 ] && java=/usr/lib/jvm/java-8-openjdk-amd64/jre/bin/java
ln -s "$java" "$root/test-java"
# The launcher finds its libraries through /proc/self/exe.
# shellcheck disable=SC2016 # for the inner shell
unshare --mount sh -c 'mount --rbind /proc "$1/proc" && exec chroot "$1" /test-java -version' sh "$root" >&2
rm -rf "$apt"
touch "$root/.complete"
echo "$root"
