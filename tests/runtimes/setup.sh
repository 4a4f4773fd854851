#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the runtimes that are named as arguments: from Debian's packages, and .NET from its package on PyPI.
set -eu

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

install() {
    missing=""
    for package in "$@"; do
        if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
            missing="$missing $package"
        fi
    done
    [ -n "$missing" ] || return 0
    $as_root apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $missing
}

for runtime in "$@"; do
    case "$runtime" in
    perl) install perl ;;
    php)
        install php-cli
        install "php$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')-opcache"
        ;;
    lua) install lua5.4 lua-socket ;;
    luajit) install luajit lua-socket ;;
    pypy) install pypy3 ;;
    erlang) install erlang-base ;;
    mono) install mono-runtime mono-mcs ;;
    dotnet)
        install mono-mcs libssl3
        .venv/bin/python -m pip install --quiet --disable-pip-version-check dotnetcore2
        ;;
    *)
        echo "unknown runtime: $runtime" >&2
        exit 2
        ;;
    esac
done
