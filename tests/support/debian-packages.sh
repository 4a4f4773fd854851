#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debian-packages.sh PACKAGE...: installs those of the packages that are missing, and starts none of their services. Does
# nothing if everything is installed.
set -eu

missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

# The tests run servers as their own children. This policy stops the packages from starting theirs. It is removed at the
# end. If the administrator has a policy, it is not changed.
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
