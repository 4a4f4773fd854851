# Tests on real kernels and in virtual machines: see tests/vm/README.md and vagrant/README.md.
# KERNEL=6.12 WAY=kprobe narrow test-vm to a cell, USERLAND=trixie runs a distribution on its own kernel.

VM_CHOICE = $(if $(KERNEL),--kernel $(KERNEL)) $(if $(WAY),--way "$(WAY)") $(if $(USERLAND),--userland $(USERLAND))

.PHONY: test-vm test-vm-ci vm-setup vagrant-box test-vagrant vagrant-setup support-table

vm-setup:
	tests/vm/setup.sh

test-vm: vm-setup ## Live tests on Debian's kernels under emulation (KERNEL=, WAY=, USERLAND=)
	/usr/bin/python3 -m tests.vm.matrix $(VM_CHOICE)

test-vm-ci: vm-setup ## One cell per kernel
	/usr/bin/python3 -m tests.vm.matrix --ci

vagrant-setup:
	vagrant/setup.sh

vagrant-box: vagrant-setup ## A Vagrant box made on this machine (BOX=bookworm)
	/usr/bin/python3 -m vagrant.box $(or $(BOX),bookworm)

test-vagrant: vagrant-box ## Box add, up, provision, live tests, a leak found, destroy
	vagrant/test.sh $(or $(BOX),bookworm)

support-table: ## Write the tables of docs/kernel-support.md from the last runs
	/usr/bin/python3 -m tests.vm.support_table
