# What closetrace costs, beside every peer in the same run: docs/overhead.md tells how to read it.

BENCH_PACKAGES := bpftrace nginx-light gcc libc6-dev util-linux
BENCH_ROWS = $(addprefix --only ,$(ROWS))

.PHONY: bench bench-smoke

bench: install ## Measure the overhead against every peer (root; a quiet machine; ROWS="touch churn" narrows)
	$(call need,$(BENCH_PACKAGES) default-jdk-headless)
	$(SUDO) $(VENV)/bin/python tests/benchmarks/bench.py $(BENCH_ROWS)

bench-smoke: install ## The benchmark in short, to see that it works
	$(call need,$(BENCH_PACKAGES) default-jdk-headless)
	$(SUDO) $(VENV)/bin/python tests/benchmarks/bench.py --smoke --output build/bench-smoke.json $(BENCH_ROWS)
