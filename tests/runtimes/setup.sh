#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the runtimes that are named as arguments: from Debian's packages, and .NET from its package on PyPI.
set -eu

here=$(dirname "$0")
install() { "$here/../support/debian-packages.sh" "$@"; }

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
