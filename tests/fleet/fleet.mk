# What closetrace exports, taken by real engines: Prometheus with Alertmanager, VictoriaMetrics, an OpenTelemetry Collector.

.PHONY: test-fleet test-fleet-collector

test-fleet: setup ## Prometheus, Alertmanager and VictoriaMetrics take what closetrace exports (on loopback)
	$(call need,$(TEST_PACKAGES) debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_ENGINES="$$($(SUDO) tests/fleet/engines.sh)" $(PYTEST) -s tests/fleet --ignore-glob='*collector*' $(FLEET)

# Building the collector takes 3 GB and some minutes, once.
test-fleet-collector: setup ## An OpenTelemetry Collector takes metrics and events: it is built from Debian's sources
	$(call need,$(TEST_PACKAGES) debian-archive-keyring)
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_COLLECTOR="$$($(SUDO) tests/fleet/collector.sh)" $(PYTEST) tests/fleet/test_collector.py
