#!/bin/sh
# Sets closetrace up in a Vagrant guest as README.md tells a user to, and as that user: `make install` brings the
# packages that it needs by sudo.
set -eu
sudo apt-get update -q
sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends make
make -C /closetrace install
