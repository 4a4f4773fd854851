#!/bin/sh
# Installs what `make vagrant-box` and `make test-vagrant` need on a Debian machine, and what tests/vm/setup.sh does.
set -eu
exec "$(dirname "$0")/../tests/vm/setup.sh" vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients \
    dnsmasq-base iptables iproute2 procps rsync openssh-client
