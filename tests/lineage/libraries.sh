#!/bin/sh
# libraries.sh MINOR: prints a root directory with Debian's CPython 3.MINOR (of sid) and the libraries that hold sockets.
# It is unpacked once; later runs find the stamp and do nothing. The host's own apt state is not used or changed.
set -eu

minor=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/pythons
root=$cache/3.$minor-libraries

mkdir -p "$cache"
exec 9> "$cache/lock-3.$minor-libraries"
flock 9
if [ ! -e "$root/.complete" ]; then
    "$(dirname "$0")/../support/debian-root.sh" sid "$root" "python3.$minor" python3-requests python3-redis \
        python3-sqlalchemy python3-aiohttp python3-gevent python3-uvloop
    chroot "$root" "/usr/bin/python3.$minor" -c 'import gevent, uvloop, aiohttp' >&2
    touch "$root/.complete"
fi
echo "$root"
