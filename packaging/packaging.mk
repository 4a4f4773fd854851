# Packages for distributions, and what an operator deploys. docs/packaging.md tells how each is installed.

DEB_PACKAGES := debhelper dh-python dpkg-dev fakeroot git lintian man-db
SUITES ?= bookworm trixie sid

.PHONY: deb test-deb

deb: ## Build the Debian package in build/deb, and check it with lintian
	$(call need,$(DEB_PACKAGES))
	packaging/deb.sh

test-deb: setup deb ## Install, use and purge the Debian package in clean roots of Debian (root; SUITES="trixie")
	$(call need,mmdebstrap debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_SUITES="$(SUITES)" $(PYTEST) -o timeout=600 tests/packaging/test_deb.py
