# Measures what closetrace and its peers cost, in the same run. docs/overhead.md tells how to read the figures.

BENCH_PACKAGES := bpftrace nginx-light gcc libc6-dev util-linux iproute2 default-jdk-headless nodejs ruby
BENCH_ROWS = $(addprefix --only ,$(ROWS))
BENCH := env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m tests.benchmarks.bench

.PHONY: bench bench-smoke bench-vm bench-tables

bench: setup ## Measure the overhead of closetrace and its peers (root; a quiet machine; ROWS="touch churn" selects rows)
	$(call need,$(BENCH_PACKAGES))
	$(SUDO) $(BENCH) $(BENCH_ROWS)

bench-smoke: setup ## Run the benchmark in short, to see that it works
	$(call need,$(BENCH_PACKAGES))
	$(SUDO) $(BENCH) --smoke --output build/bench-smoke.json $(BENCH_ROWS)

bench-vm: vm-setup ## Compare with peers that need kprobes or headers, in a guest under emulation (root)
	$(SUDO) /usr/bin/python3 -m tests.benchmarks.guest_bench

bench-tables: setup ## Write the tables of docs/overhead.md from build/bench.json and build/bench-vm.json
	$(BENCH) --markdown
