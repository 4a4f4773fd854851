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
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/jdks
root=$cache/$major

mkdir -p "$cache"
exec 9> "$cache/lock-$major"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root"
    exit 0
fi

"$(dirname "$0")/../support/debian-root.sh" "$suite" "$root" "openjdk-$major-jre-headless"
java=/usr/lib/jvm/java-$major-openjdk-amd64/bin/java
[ "$major" = 8 ] && java=/usr/lib/jvm/java-8-openjdk-amd64/jre/bin/java
ln -s "$java" "$root/test-java"
# The launcher finds its libraries through /proc/self/exe.
# shellcheck disable=SC2016 # for the inner shell
unshare --mount sh -c 'mount --rbind /proc "$1/proc" && exec chroot "$1" /test-java -version' sh "$root" >&2
touch "$root/.complete"
echo "$root"
