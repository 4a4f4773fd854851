#!/bin/busybox sh
# shellcheck shell=dash
# First process of a test guest: finds the disks, lays the project into the root and hands over to guest.sh.
# vda: the userland (thrown away after the run), vdb: the kernel's modules, vdc: a tar of the project, vdd: results out.
# With vda alone (a Vagrant box, which has its modules in the root) it hands over to that root's own init.

export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
    insmod "$module" || echo "init: $module does not load"
done
mount -t ext4 -o noatime /dev/vda /root
if [ ! -b /dev/vdc ]; then
    umount /sys /proc
    mount -o move /dev /root/dev
    exec switch_root /root /sbin/init
fi
mkdir -p "/root/lib/modules/$(uname -r)" /root/closetrace
mount -t ext4 -o ro /dev/vdb "/root/lib/modules/$(uname -r)"
tar -xf /dev/vdc -C /root/closetrace
umount /sys /proc
mount -o move /dev /root/dev
exec switch_root /root /bin/sh /closetrace/tests/vm/guest.sh
