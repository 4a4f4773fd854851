# What closetrace exports, taken by real engines: Prometheus with Alertmanager, VictoriaMetrics, an OpenTelemetry receiver.

.PHONY: test-fleet

test-fleet: setup ## Prometheus, Alertmanager and VictoriaMetrics take what closetrace exports (on loopback)
	$(call need,$(TEST_PACKAGES) debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_ENGINES="$$($(SUDO) tests/fleet/engines.sh)" $(PYTEST) -s tests/fleet
