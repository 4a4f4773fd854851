# The HTML page in headless Chromium, which the tests drive by its own protocol.

PAGE_PACKAGES := chromium

.PHONY: test-page

test-page: setup ## The HTML page in Chromium: errors, keyboard, hostile names, contrast, print, 10,000 sockets
	$(call need,$(PAGE_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(PYTEST) tests/page
