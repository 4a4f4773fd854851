#!/bin/sh
# test.sh runs this as root, as the first process of its own namespaces (processes, mounts, network). It starts its own
# libvirt. Then: box add, up, provision, live tests in the guest, find a leak with `sudo closetrace --pid`, destroy.
# Arguments: the suite, the box, a directory for all files.
set -eu
suite=$1
box=$2
work=$3
here=$(cd "$(dirname "$0")" && pwd)

mount -t proc proc /proc
# Hide the machine's control groups, so that libvirt makes no directories there.
umount --recursive --lazy /sys
mount -t sysfs sys /sys
for directory in /run /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mount -t tmpfs -o mode=0755 tmpfs "$directory"
done
ip link set lo up
mkdir "$work/home" "$work/tmp" "$work/pool"
export HOME="$work/home" TMPDIR="$work/tmp"
export VAGRANT_HOME="$HOME/vagrant" VAGRANT_CWD="$here" VAGRANT_DOTFILE_PATH="$work/dot"
export VAGRANT_NO_COLOR=1 VAGRANT_CHECKPOINT_DISABLE=1 LIBVIRT_DEFAULT_URI=qemu:///system
export CLOSETRACE_CPUS=1
export "CLOSETRACE_BOX_$(echo "$suite" | tr '[:lower:]' '[:upper:]')=closetrace/$suite"

virtlogd --daemon
libvirtd --daemon
virsh pool-define-as default dir --target "$work/pool" >/dev/null
virsh pool-start default >/dev/null

# The tests that CI runs on a kernel (tests/vm/kernels.json). Their programs are built first, because a program ends by
# itself after two minutes.
tests=$(python3 -c 'import json, shlex, sys; print(shlex.join(json.load(open(sys.argv[1]))["ci_tests"]))' \
    "$here/../tests/vm/kernels.json")
build="sudo .venv/bin/python -m tests.vm.build_workloads"
tests="sudo env CLOSETRACE_TEST_SLOW=2 .venv/bin/python -m pytest --color=no -q -o timeout=300 $tests"

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
guest() { vagrant ssh "$suite" --no-tty -c "$*"; }

say "vagrant box add"
vagrant box add --no-tty --name "closetrace/$suite" "$box"
say "vagrant up"
vagrant up "$suite" --provider libvirt --no-tty
say "the live tests"
guest "cd /closetrace && $build && $tests"
say "a leak"
guest sh /closetrace/vagrant/find-leak.sh
say "vagrant destroy"
vagrant destroy --force --no-tty "$suite"
test -z "$(virsh list --all --name)" || { echo "vagrant destroy left a machine" >&2; exit 1; }
say "passed"
