#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the libraries and servers that tests/advice runs, without starting any service: Debian's packages for the
# system, PyPI's and npm's below build/advice.
set -eu
cd "$(dirname "$0")/../.."

packages="openjdk-17-jdk-headless libhttpclient-java libhttpclient5-java libcommons-httpclient-java libokhttp-java
libhikaricp-java libcommons-dbcp2-java libpostgresql-jdbc-java libslf4j-java libnetty-java golang-go gcc libc6-dev
libcurl4-openssl-dev libpq-dev libhiredis-dev postgresql redis-server apache2 nodejs iproute2 util-linux python3-venv"
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

missing=""
for package in $packages; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
        missing="$missing $package"
    fi
done
if [ -n "$missing" ]; then
    # The tests run the servers as their own children: a policy keeps the packages from starting theirs.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '$as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
    $as_root apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $missing
fi
command -v npm >/dev/null || $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends npm

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
