# closetrace: `make demo` shows it, `make test` checks it, `make install` installs it. All three install what they need.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := /usr/bin/python3
VENV := .venv
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Tests as root leave no bytecode and no pytest cache in the checkout, because its owner could not replace them.
PYTEST := env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m pytest -p no:cacheprovider
PIP_OPTIONS := --quiet --disable-pip-version-check

# `make install` makes a virtual environment that root owns, and links to these of its files. The links are below PREFIX,
# except the one for fish, which does not look there.
PREFIX := /usr/local
INSTALLED = $(PREFIX)/lib/closetrace
LINKED := bin/closetrace share/man/man1/closetrace.1 share/bash-completion/completions/closetrace.bash \
  share/zsh/site-functions/_closetrace
FISH_FILE := share/fish/vendor_completions.d/closetrace.fish
FISH_LINK := /etc/fish/completions/closetrace.fish
link = umask 022 && $(SUDO) mkdir -p "$$(dirname "$(2)")" && $(SUDO) ln -sfn "$(INSTALLED)/$(1)" "$(2)"

# The command runs isolated, without libraries that only the user's own settings lead to. So pip must not see these either.
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

# What closetrace needs. bcc comes from the distribution, because it belongs to that libbcc.
RUN_PACKAGES := python3-bpfcc python3-venv libdw1 libelf1 libbpf1 gcc libc6-dev
# What the tests compare it with. Below: what lints the parts that are not Python.
TEST_PACKAGES := g++ iproute2 util-linux procps elfutils gdb binutils tcpdump groff-base musl-tools python3-numpy golang-go
LINT_PACKAGES := clang-format shellcheck

.PHONY: help setup install uninstall demo unit test lint format clean man schema

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 18

# Asks apt only for what is missing, so that a second run is quick. libbpf is libbpf0 on Debian 11, and since Debian 13
# some libraries' packages are called t64.
define need
	@missing=""; for package in $(1); do \
	  dpkg-query -W -f '$${Status} ' $$package $${package}t64 $${package/libbpf1/libbpf0} 2>/dev/null | \
	    grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -q && \
	  { apt-cache show libbpf1 >/dev/null 2>&1 || missing=$${missing/libbpf1/libbpf0}; } && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi
endef

setup: ## Set up the checkout: packages and its virtual environment, .venv
	$(call need,$(RUN_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed
	@# Today's command writes no bytecode. Remove what older versions wrote as root.
	@find tracer -name __pycache__ ! -writable -prune -exec $(SUDO) rm -rf {} +
	@$(VENV)/bin/python -m compileall -q tracer

install: setup ## Install the command closetrace for all users, with man page and completions
	rm -rf build/lib build/bdist.* build/scripts-* build/wheels
	$(VENV)/bin/python -m pip wheel $(PIP_OPTIONS) --wheel-dir build/wheels .
	$(SUDO) rm -rf "$(INSTALLED)"
	umask 022 && $(SUDO) $(PYTHON) -I -m venv --system-site-packages "$(INSTALLED)"
	@# No index: root needs no proxy and no user settings. --ignore-installed: use no package that others may remove.
	umask 022 && $(SUDO) "$(INSTALLED)/bin/python" -I -m pip install $(PIP_OPTIONS) \
	  --no-cache-dir --no-index --find-links build/wheels --ignore-installed closetrace
	@for file in $(LINKED); do $(call link,$$file,$(PREFIX)/$$file) || exit 1; done
	@$(call link,$(FISH_FILE),$(FISH_LINK))
	@echo "installed: $(PREFIX)/bin/closetrace"

uninstall: ## Remove what `make install` installed, and what closetrace wrote as root
	@for file in $(LINKED); do $(SUDO) rm -f "$(PREFIX)/$$file" || exit 1; done
	@$(SUDO) rm -f "$(FISH_LINK)"
	$(SUDO) rm -rf "$(INSTALLED)" /var/cache/closetrace
	@[ "$$(stat -c %u .)" = 0 ] || $(SUDO) find . -user root \
	  \( -name __pycache__ -o -name .pytest_cache -o -name .hypothesis \) -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml tracer/closetrace
	$(PYTHON) -m venv --system-site-packages $(VENV)
	@# Debian 11's own pip wants a setup.py for an editable installation.
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) 'pip>=21.3'
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --editable '.[dev]'
	$(VENV)/bin/python -m compileall -q tracer # closetrace never writes bytecode itself
	@touch $@

demo: setup ## Find a real leak: a small leaking client, traced for a few seconds
	$(SUDO) $(VENV)/bin/closetrace demo

unit: setup ## Run the unit tests that need neither root nor BPF, and print what they cover
	$(call need,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(PYTEST) tests/unit -q -n auto -m 'not root' --cov --cov-report=term

test: setup ## Run the unit tests, those with hostile files, and the live tests (real BPF on this kernel; root)
	$(call need,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(PYTEST) tests/unit tests/hostile tests/live

lint: setup ## Check style, types, layers, spelling, scripts and C
	$(call need,$(LINT_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/codespell $$(git ls-files)
	shellcheck $$(git ls-files '*.sh' .ci/run tracer/closetrace packaging/closetrace 'packaging/debian/*.post*')
	clang-format --dry-run --Werror $$(git ls-files 'bpf/*.[ch]' 'bpf/**/*.h' 'tests/workloads/*.[ch]' 'tests/workloads/*.cpp' 'tests/advice/programs/c/*.[ch]' 'tracer/demo/*.c' | grep -v bpf/shim/helper_ids.h)

format: ## Rewrite the sources as lint wants them
	$(VENV)/bin/ruff check --fix --quiet . || true
	$(VENV)/bin/ruff format .
	clang-format -i $$(git ls-files 'bpf/*.[ch]' 'bpf/**/*.h' 'tests/workloads/*.[ch]' 'tests/workloads/*.cpp' 'tests/advice/programs/c/*.[ch]' 'tracer/demo/*.c' | grep -v bpf/shim/helper_ids.h)

clean: ## Remove what make made
	rm -rf $(VENV) build

-include tests/*/*.mk docs/*.mk packaging/*.mk
