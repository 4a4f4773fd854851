"""Generated code that a runtime names in /tmp/perf-PID.map."""
