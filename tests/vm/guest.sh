#!/bin/sh
# Runs as process 1 of a test guest: mounts what a distribution mounts at boot, runs /closetrace/.vm/command
# and writes /out, with the exit status, to the results disk (vdd).

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /dev/pts /dev/shm /out
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
ln -sf /proc/self/fd /dev/fd
hostname guest
ip link set lo up

cd /closetrace || exit 1
# closetrace writes no bytecode itself. Under emulation a start without bytecode takes seconds.
python3 -m compileall -q tracer
mkdir -p /keep
[ ! -d .vm/keep ] || mv .vm/keep /
echo "guest: $(uname -r) up after $(cut -d' ' -f1 /proc/uptime) s"
setsid -w sh /closetrace/.vm/command
echo $? >/out/status
echo "guest: ended with $(cat /out/status) after $(cut -d' ' -f1 /proc/uptime) s"
tar -cf /dev/vdd -C / out
sync
echo o >/proc/sysrq-trigger
sleep 60
