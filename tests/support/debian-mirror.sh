#!/bin/sh
# Prints the address that this machine's own apt has Debian from: other suites' packages are asked for at the same place.
# shellcheck disable=SC2016 # apt's own fields
set -eu

if [ -n "${DEBIAN_MIRROR:-}" ]; then
    echo "$DEBIAN_MIRROR"
    exit 0
fi
uri=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
    sed -n 's/ Debian Debian$//p' | head -n 1)
if [ -z "$uri" ]; then
    echo "apt knows no Debian mirror here: run apt-get update, or set DEBIAN_MIRROR" >&2
    exit 1
fi
echo "${uri%/}"
