#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the software that tests/systems runs, from Debian's packages. Does not start any of its services.
set -eu
exec "$(dirname "$0")/../support/debian-packages.sh" \
    python3-numpy nginx tomcat10 libhttpclient-java libcommons-httpclient-java openjdk-17-jdk-headless tcpdump iproute2
