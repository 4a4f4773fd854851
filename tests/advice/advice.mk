# The advice, applied: every library in diagnose/libraries.py with what is said of it.

.PHONY: test-advice test-advice-ci

test-advice: install ## Every sentence on a library's settings, tried with the library (root)
	$(call need,$(TEST_PACKAGES))
	tests/advice/setup.sh
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) $(VENV)/bin/python -m pytest tests/advice $(ADVICE)

test-advice-ci: ## The cells that stand for the rest, in less than four minutes (root)
	@$(MAKE) --no-print-directory test-advice ADVICE="-m ci"
