"""The report tells what the trace cost, and --max-overhead limits it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from tests.live.closetrace_command import Trace

PING_PONG = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname())
far, _ = listener.accept()
end = time.monotonic() + 30
while time.monotonic() < end:
    near.send(b"x")
    far.recv(1)
"""


def test_backs_off_and_says_when() -> None:
    """Under a busy program a limit of 0.1 % is met by fewer stacks, then none, and the report tells when and why."""
    with subprocess.Popen([sys.executable, "-c", PING_PONG]) as busy:
        with Trace("--json", "--max-overhead", "0.1", "--duration", "12") as trace:
            cost = trace.wait().report()["cost"]
        busy.kill()
    assert [step["stacks"] for step in cost["backed_off"]] == ["sampled", "off"]
    assert all(step["percent"] > 0.1 for step in cost["backed_off"])
    assert 0 < cost["kernel_s"] < cost["wall_s"]


def test_cost_is_what_the_kernel_says() -> None:
    """CPU of the run is no more than rusage has for the ended process; kernel memory covers the budget asked for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Trace("--json", "--memory", "16", "--duration", "1") as trace:
        cost = trace.wait().report()["cost"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert 0 < cost["cpu_s"] <= used
    assert cost["backed_off"] == []
    assert cost["kernel_bytes"] >= 14 << 20
    # counted only while somebody on the host asks for it, by sysctl or by BPF_ENABLE_STATS
    assert cost["kernel_s"] is None or 0 <= cost["kernel_s"] < cost["wall_s"] * (os.cpu_count() or 1)
