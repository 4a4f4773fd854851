#!/bin/busybox sh
# shellcheck shell=dash
# First process of a test guest. It mounts the disks, unpacks the project into the root and starts guest.sh.
# vda: the userland (changes are not kept), vdb: the kernel's modules, vdc: a tar of the project, vdd: results.
# With vda alone (a Vagrant box, whose root has the modules) it starts the init of that root.

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
