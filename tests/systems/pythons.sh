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
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/pythons
root=$cache/3.$minor

mkdir -p "$cache"
exec 9> "$cache/lock-3.$minor"
flock 9
if [ -e "$root/.complete" ]; then
    echo "$root /usr/bin/python3.$minor"
    exit 0
fi

"$(dirname "$0")/../support/debian-root.sh" "$suite" "$root" "python3.$minor"
chroot "$root" "/usr/bin/python3.$minor" -c 'import ssl, asyncio' >&2
touch "$root/.complete"
echo "$root /usr/bin/python3.$minor"
