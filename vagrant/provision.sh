#!/bin/sh
# Installs closetrace in a Vagrant guest as README.md says, as an ordinary user. `make install` uses sudo to install the
# packages that it needs.
set -eu
sudo apt-get update -q
sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends make
make -C /closetrace install
