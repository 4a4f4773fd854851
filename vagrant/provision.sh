#!/bin/sh
# Installs closetrace in a Vagrant guest the way README.md tells a user to, and what its tests need.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends python3-bpfcc python3-venv python3-pip make libdw1
apt-get install -q -y --no-install-recommends \
    python3-click python3-tabulate python3-pyroute2 python3-pytest python3-pytest-timeout python3-hypothesis \
    python3-jsonschema gcc g++ libc6-dev elfutils iproute2 procps
make -C /closetrace install
