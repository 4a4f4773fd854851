# Runtimes whose functions closetrace cannot name, or only with the help of a perf map.

RUNTIMES ?= perl php lua luajit pypy erlang mono dotnet

.PHONY: test-runtimes

test-runtimes: setup ## What is said of PHP, Perl, Lua, Erlang, .NET ... (root; RUNTIMES="perl php" tests only these)
	$(call need,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	tests/runtimes/setup.sh $(RUNTIMES)
	$(SUDO) env CLOSETRACE_RUNTIMES="$(RUNTIMES)" $(PYTEST) tests/runtimes
