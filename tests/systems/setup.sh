#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the software that tests/systems runs, from Debian's packages. Does not start any of its services.
set -eu

packages="python3-numpy nginx tomcat10 libhttpclient-java libcommons-httpclient-java openjdk-17-jdk-headless tcpdump iproute2"

missing=""
for package in $packages; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

# The tests run nginx and Tomcat as their own children. This policy stops the packages from starting theirs. It is
# removed at the end. If the administrator has a policy, it is not changed.
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
