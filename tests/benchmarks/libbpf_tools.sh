#!/bin/sh
# Unpacks Debian 13's libbpf-tools, with their libraries, below the directory $1. Prints the directory of the tools. The
# machine's own apt is not touched.
set -eu

root=$1
state=$root/apt
if [ ! -x "$root/unpacked/usr/sbin/tcpstates-libbpf" ]; then
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$root/unpacked" "$root/debs"
    : >"$state/status"
    mirror=$("$(dirname "$0")/../support/debian-mirror.sh")
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
        >"$state/sources.list"
    set -- -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none
    apt-get "$@" -qq update >&2
    (cd "$root/debs" && apt-get "$@" -qq download libbpf-tools libbpf1 libc6 libelf1t64 zlib1g libzstd1 >&2)
    for package in "$root"/debs/*.deb; do
        dpkg-deb -x "$package" "$root/unpacked"
    done
fi
find "$root/unpacked" -name tcpstates-libbpf -type f -exec dirname {} \; | head -n 1
