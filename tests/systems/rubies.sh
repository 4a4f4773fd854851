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
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/rubies
root=$cache/3.$minor

mkdir -p "$cache"
exec 9> "$cache/lock-3.$minor"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root /usr/bin/ruby3.$minor"
    exit 0
fi

"$(dirname "$0")/../support/debian-root.sh" "$suite" "$root" "ruby3.$minor"
chroot "$root" "/usr/bin/ruby3.$minor" -e 'require "socket"; require "json"' >&2
touch "$root/.complete"
echo "$root /usr/bin/ruby3.$minor"
