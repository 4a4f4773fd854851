# Packages for distributions, and what an operator deploys. docs/packaging.md tells how each is installed.

DEB_PACKAGES := debhelper dh-python dpkg-dev fakeroot git lintian man-db
CHECK_PACKAGES := git prometheus rpm rpmlint systemd
SUITES ?= bookworm trixie sid

.PHONY: deb test-deb test-container check-packaging

deb: ## Build the Debian package in build/deb, and check it with lintian
	$(call need,$(DEB_PACKAGES))
	packaging/deb.sh

test-deb: setup deb ## Install, use and purge the Debian package in clean roots of Debian (root; SUITES="trixie")
	$(call need,mmdebstrap debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_SUITES="$(SUITES)" $(PYTEST) -o timeout=600 tests/packaging/test_deb.py

test-container: setup ## Build the container image with podman, and trace a leak from it as the chart has it run (root)
	$(call need,mmdebstrap debian-archive-keyring podman buildah runc)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(PYTEST) -s -o timeout=900 tests/packaging/test_container.py

check-packaging: setup ## Check unit, rpm, Prometheus rules, dashboard and Helm chart with the tools of their makers
	$(call need,$(CHECK_PACKAGES))
	@command -v helm npm >/dev/null || $(SUDO) apt-get install -q -y --no-install-recommends npm
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) -r packaging/requirements.txt
	$(PYTEST) tests/packaging/test_static.py
