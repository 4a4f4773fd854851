#!/bin/sh
# Turns the root file system in $1 into a Vagrant guest (box.py runs this as a hook of mmdebstrap). It adds the user and
# key that Vagrant expects, ssh, an address by DHCP, the modules of kernel $3 from the image $4, and the wheels in $2,
# because the guest reaches no package index.
set -eu
root=$1
wheels=$2
abi=$3
modules=$4

chroot "$root" useradd --create-home --shell /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
# The publicly known key of Vagrant: https://github.com/hashicorp/vagrant/tree/main/keys
install -d -m 0700 "$root/home/vagrant/.ssh"
cat >"$root/home/vagrant/.ssh/authorized_keys" <<'KEY'
ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key
KEY
chroot "$root" chown -R vagrant: /home/vagrant/.ssh

echo '/dev/vda / ext4 noatime 0 1' >"$root/etc/fstab"
echo closetrace >"$root/etc/hostname"
printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
chroot "$root" systemctl -q enable systemd-networkd ssh
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service

# The Debian packages that provisioning needs are already installed. The Python packages are here.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
cp -r "$wheels" "$root/opt/wheels"
printf '[global]\nno-index = true\nfind-links = /opt/wheels\n' >"$root/etc/pip.conf"

install -d "$root/lib/modules/$abi"
debugfs -R "rdump / $root/lib/modules/$abi" "$modules" 2>/dev/null
