#!/bin/sh
# The whole way of a contributor with Vagrant, on this machine alone and by emulation: the box that box.py built is
# added, brought up and provisioned; in the guest the live tests run and `sudo closetrace --pid` finds a leak; then all
# of it is destroyed. Box, pool, network and machine have names and directories of this run: nothing is left behind.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
suite=${1:-bookworm}
box=$here/../build/closetrace-$suite.box
test -e "$box" || { echo "no $box: make vagrant-box" >&2; exit 2; }
test "$(id -u)" = 0 || { echo "run as root: it may have to start libvirtd" >&2; exit 2; }

# qemu runs as another user and must reach the disk and the kernel: not below a home directory.
work=$(mktemp -d /var/tmp/closetrace-vagrant.XXXXXX)
chmod 755 "$work"
name=closetrace-test-${work##*.}
export VAGRANT_HOME="$work/home" VAGRANT_CWD="$here" VAGRANT_DOTFILE_PATH="$work/dot" VAGRANT_NO_COLOR=1
export CLOSETRACE_CPUS=1
export VAGRANT_CHECKPOINT_DISABLE=1 LIBVIRT_DEFAULT_URI=qemu:///system
export "CLOSETRACE_BOX_$(echo "$suite" | tr '[:lower:]' '[:upper:]')=$name"

tidy() {
    status=$?
    trap '' INT TERM HUP
    vagrant destroy --force >/dev/null 2>&1 || true
    for domain in $(virsh list --all --name | grep "^$name" || true); do
        virsh destroy "$domain" || true
        virsh undefine "$domain" || true
    done
    for kind in net pool; do
        virsh "$kind-destroy" "$name" || true
        virsh "$kind-undefine" "$name" || true
    done >/dev/null 2>&1
    for daemon in libvirtd virtlogd; do
        if [ -e "$work/$daemon.pid" ]; then kill "$(cat "$work/$daemon.pid")" || true; fi
    done
    rm -rf "$work"
    exit "$status"
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

# The same live tests as in a kernel's cell in CI (tests/vm/kernels.json).
tests=$(python3 -c '
import json, sys
print(" ".join(json.load(open(sys.argv[1]))["ci_tests"]))' "$here/../tests/vm/kernels.json")
build="sudo env PYTHONPATH=tests/live python3 tests/vm/build_workloads.py"
tests="sudo env CLOSETRACE_TEST_SLOW=2 python3 -m pytest --color=no -q -o timeout=300 $tests"

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
guest() { vagrant ssh "$suite" --no-tty -c "$*"; }

# Daemons that run already are used and left alone.
if ! virsh version >/dev/null 2>&1; then
    virtlogd -d -p "$work/virtlogd.pid"
    libvirtd -d -p "$work/libvirtd.pid"
fi

mkdir "$work/home" "$work/pool"
virsh pool-define-as "$name" dir --target "$work/pool" >/dev/null
virsh pool-start "$name" >/dev/null
# Loaded between the box's own and the project's Vagrantfile.
cat >"$work/home/Vagrantfile" <<END
Vagrant.configure("2") do |config|
  config.vm.provider "libvirt" do |libvirt|
    libvirt.storage_pool_name = "$name"
    libvirt.management_network_name = "$name"
    libvirt.management_network_address = "192.168.$((100 + $$ % 100)).0/24"
    libvirt.default_prefix = "$name-"
  end
end
END

say "adding the box"
vagrant box add --no-tty --name "$name" "$box"
say "vagrant up"
vagrant up "$suite" --provider libvirt --no-tty
say "the live tests"
guest "cd /closetrace && $build && $tests"
say "a leak"
guest sh /closetrace/vagrant/find-leak.sh
say "vagrant destroy"
vagrant destroy --force --no-tty "$suite"
say "passed"
