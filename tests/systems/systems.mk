# The incidents with real software, and the stacks of Java, Python, Ruby and JavaScript on every version that there is.

JDK_PACKAGES := openjdk-17-jdk-headless openssl debian-archive-keyring
JDKS ?= 8 11 17 21 25
PYTHONS ?= 8 9 10 11 12 13 14 15
RUBIES ?= 1 3
NODES ?= 18 20 22 24 debian

.PHONY: test-systems test-jdks test-pythons test-rubies test-nodes

test-systems: setup ## The incidents, reproduced with nginx, Tomcat and HttpClient (root)
	$(call need,$(TEST_PACKAGES))
	$(SUDO) tests/systems/setup.sh
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(PYTEST) tests/systems --ignore-glob='*hotspot*' --ignore-glob='*python*' --ignore-glob='*ruby*' \
		--ignore-glob='*node*'

test-jdks: setup ## Java stacks, compared with the JVM's own (root; JDKS="17 25" tests only these)
	$(call need,$(TEST_PACKAGES) $(JDK_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_JDKS="$(JDKS)" $(PYTEST) -s tests/systems/test_hotspot_stacks.py tests/systems/test_hotspot_changes.py \
		tests/systems/test_hotspot_now.py

test-pythons: setup ## Python stacks, compared with the programs' own frames (root; PYTHONS="11 13" tests only these)
	$(call need,$(TEST_PACKAGES) debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_PYTHONS="$(PYTHONS)" $(PYTEST) -s tests/systems/test_python_stacks.py

test-rubies: setup ## Ruby stacks, compared with the programs' own frames (root; RUBIES="1" tests only 3.1)
	$(call need,$(TEST_PACKAGES) debian-archive-keyring ruby puma)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_RUBIES="$(RUBIES)" $(PYTEST) -s tests/systems/test_ruby_stacks.py

test-nodes: setup ## JavaScript stacks, compared with the programs' own (root; NODES="18 22" tests only these)
	$(call need,$(TEST_PACKAGES) debian-archive-keyring)
	@command -v npm >/dev/null || $(SUDO) apt-get install -q -y --no-install-recommends npm
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_NODES="$(NODES)" $(PYTEST) -s tests/systems/test_node_stacks.py
