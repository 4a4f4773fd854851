# The wheel, the sdist and `make install`, each tried in an environment of its own: nothing is installed on the machine.

.PHONY: test-wheel

test-wheel: setup ## Build wheel and sdist, install each elsewhere, and use what was installed (root)
	$(call need,$(TEST_PACKAGES) bash-completion fish man-db zsh)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(PYTEST) -o timeout=600 tests/wheel
