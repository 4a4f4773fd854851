# Watches an agent for an hour while leaks come and go. docs/agent.md tells what was seen.

.PHONY: soak
MINUTES := 60

soak: setup ## Watch an agent's memory while leaks come and go (root; MINUTES=60)
	$(call need,gcc libc6-dev)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m tests.soak.soak --minutes $(MINUTES)
