#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the libraries and servers that tests/advice runs, without starting any service: Debian's packages for the
# system, PyPI's and npm's below build/advice.
set -eu
cd "$(dirname "$0")/../.."

packages="openjdk-17-jdk-headless libhttpclient-java libhttpclient5-java libcommons-httpclient-java libokhttp-java
libhikaricp-java libcommons-dbcp2-java libpostgresql-jdbc-java libslf4j-java libnetty-java golang-go gcc libc6-dev
libcurl4-openssl-dev libpq-dev libhiredis-dev postgresql redis-server apache2 nodejs ruby iproute2 util-linux python3-venv"
# shellcheck disable=SC2086 # a list of words
tests/support/debian-packages.sh $packages
command -v npm >/dev/null || tests/support/debian-packages.sh npm

here=tests/advice
there=build/advice
mkdir -p $there/node
if ! cmp -s $here/requirements.txt $there/requirements.txt; then
    /usr/bin/python3 -m venv $there/python
    $there/python/bin/python -m pip install --quiet --disable-pip-version-check -r $here/requirements.txt
    cp $here/requirements.txt $there/requirements.txt
fi
if ! cmp -s $here/package.json $there/package.json; then
    cp $here/package.json $there/node/package.json
    (cd $there/node && npm install --no-audit --no-fund --silent)
    cp $here/package.json $there/package.json
fi
