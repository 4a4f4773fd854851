#!/bin/sh
# Sets closetrace up in a Vagrant guest as README.md tells a user to: `make install` brings the packages it needs.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends make
make -C /closetrace install
# `sudo closetrace` finds it there.
ln -sf /closetrace/.venv/bin/closetrace /usr/local/bin/closetrace
