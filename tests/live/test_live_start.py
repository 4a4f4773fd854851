"""A second run uses the compiled programs of the first one, also for another process."""

from __future__ import annotations

import os
from pathlib import Path

from tests.live.closetrace_command import let_linger, tracing
from tests.live.workload import start


def test_second_start_needs_no_compiler() -> None:
    """No LLVM is in the second run's memory, and it follows its own process although the first one's leaks as well."""
    with start("idle_pool", "2") as first, tracing(first.pid()) as trace:
        trace.attached()
        trace.stop()
        with start("idle_pool", "3") as second, tracing(second.pid()) as again:
            again.attached()
            libraries = Path(f"/proc/{again.process.pid}/maps").read_text()
            first.all_steps()
            second.all_steps()
            let_linger()
            report = again.stop().report()
    assert [site["count"] for site in report["sites"]] == [3]
    # kprobes are attached by bcc's library, which brings LLVM along
    assert ("LLVM" in libraries) is (os.environ.get("CLOSETRACE_TEST_PROBES") == "kprobe")
