# closetrace: `make demo` shows it, `make test` checks it, `make install` only sets it up. All three install what they need.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := /usr/bin/python3
VENV := .venv
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# What closetrace runs with; bcc comes from the distribution, built against its own libbcc.
RUN_PACKAGES := python3-bpfcc python3-venv libdw1 libelf1 libbpf1 gcc libc6-dev
# What its tests compare it with, and what lints the parts that are not Python.
TEST_PACKAGES := g++ iproute2 util-linux procps elfutils gdb binutils tcpdump groff-base musl-tools
LINT_PACKAGES := clang-format shellcheck

.PHONY: help install demo test lint format clean man schema

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

install: ## Set everything up: packages, virtual environment, .venv/bin/closetrace
	$(call need,$(RUN_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv --system-site-packages $(VENV)
	@# Debian 11's own pip wants a setup.py for an editable installation.
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=21.3'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install ## Find a real leak: a small leaking client, traced for a few seconds
	$(SUDO) $(VENV)/bin/closetrace demo

test: install ## Run the unit tests and the live tests (real BPF on this kernel; root)
	$(call need,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(VENV)/bin/python -m pytest tests/unit tests/live

lint: install ## Check style, types, layers, scripts and C
	$(call need,$(LINT_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	shellcheck $$(git ls-files '*.sh' .ci/run)
	clang-format --dry-run --Werror $$(git ls-files 'bpf/*.[ch]' 'bpf/**/*.h' 'tests/workloads/*.[ch]' 'tests/workloads/*.cpp' 'tracer/demo/*.c' | grep -v bpf/shim/helper_ids.h)

format: ## Rewrite the sources as lint wants them
	$(VENV)/bin/ruff check --fix --quiet . || true
	$(VENV)/bin/ruff format .
	clang-format -i $$(git ls-files 'bpf/*.[ch]' 'bpf/**/*.h' 'tests/workloads/*.[ch]' 'tests/workloads/*.cpp' 'tracer/demo/*.c' | grep -v bpf/shim/helper_ids.h)

clean: ## Remove what make made
	rm -rf $(VENV) build

-include tests/*/*.mk docs/*.mk
