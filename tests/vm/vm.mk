# Tests on real kernels and in virtual machines: see tests/vm/README.md and vagrant/README.md.
# KERNEL=6.12 WAY=kprobe run one cell, USERLAND=trixie runs a distribution on its own kernel.

VM_CHOICE = $(if $(KERNEL),--kernel $(KERNEL)) $(if $(WAY),--way "$(WAY)") $(if $(USERLAND),--userland $(USERLAND))

.PHONY: test-vm test-vm-ci vm-setup vagrant-box test-vagrant vagrant-setup support-table

vm-setup:
	tests/vm/setup.sh

test-vm: vm-setup ## Run the live tests on Debian's kernels under emulation (KERNEL=, WAY=, USERLAND=)
	/usr/bin/python3 -m tests.vm.matrix $(VM_CHOICE)

test-vm-ci: vm-setup ## Run one cell for each kernel, one after the other: two at a time miss their limits on two cores
	/usr/bin/python3 -m tests.vm.matrix --ci --jobs 1

vagrant-setup:
	vagrant/setup.sh

vagrant-box: vagrant-setup ## Make a Vagrant box on this machine (BOX=bookworm)
	/usr/bin/python3 -m vagrant.box $(or $(BOX),bookworm)

test-vagrant: vagrant-box ## Test the Vagrant setup: box add, up, provision, live tests, find a leak, destroy
	vagrant/test.sh $(or $(BOX),bookworm)

support-table: ## Write the tables of docs/kernel-support.md from the last runs
	/usr/bin/python3 -m tests.vm.support_table
