"""How soon a Python that starts while the whole host is traced is known: from its first connect to one with functions.

Usage: python -m tests.benchmarks.known, as root. Each process runs a copy of this system's Python, so that no other
has run its program file before; then all run one file. Each connects once a millisecond. The report says which
connections have the function that opened them, and the process when it opened them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from tests.live.closetrace_command import Trace
from tests.live.peers import answer_and_hang_up, serving

PROCESSES, CONNECTIONS, APART_S = 30, 100, 2.0
PYTHON = os.path.realpath("/usr/bin/python3")
PROGRAM = """
import socket, sys, time
def opened_here():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])))
kept = []
for _ in range(int(sys.argv[2])):
    kept.append((time.monotonic_ns(), opened_here()))
    time.sleep(0.001)
print(*(f"{ns}:{one.getsockname()[1]}" for ns, one in kept), flush=True)
sys.stdin.read()
"""
Log = list[tuple[int, int]]


def connected(program: str, port: int, started: list[subprocess.Popen[str]]) -> Log:
    """When a process connected (ns), and from which ports."""
    process = subprocess.Popen(
        [program, "-c", PROGRAM, str(port), str(CONNECTIONS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHOME": "/usr"},
    )
    started.append(process)
    assert process.stdout is not None
    words = (word.split(":") for word in process.stdout.readline().split())
    return [(int(ns), int(local)) for ns, local in words]


def named(report: dict[str, Any]) -> set[int]:
    """The local ports of the connections that were opened by a function with a name."""
    sites = [s for s in report["sites"] if any(f["function"] == "opened_here" for f in s["opened_stack"])]
    return {int(one["local"].rpartition(":")[2]) for site in sites for one in site["sockets"]}


def measured(programs: list[str]) -> list[Optional[float]]:
    """For each program how long it took until it was known, in ms; None if it was not within its connections."""
    started: list[subprocess.Popen[str]] = []
    with serving(answer_and_hang_up) as port, Trace("--json", "--linger", "0.5", "--remote-port", str(port)) as trace:
        trace.attached()
        connected(PYTHON, port, started)  # the language's program is loaded with the first one
        logs = []
        for program in programs:
            time.sleep(APART_S)
            logs.append(connected(program, port, started))
        time.sleep(1.0)
        known = named(trace.stop().report())
    for process in started:
        process.communicate()
    firsts = [next((ns for ns, local in log if local in known), None) for log in logs]
    return [None if first is None else (first - log[0][0]) / 1e6 for log, first in zip(logs, firsts)]


def main() -> None:
    """Print median and largest of both."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [str(shutil.copy(PYTHON, _made(Path(folder, str(n))) / Path(PYTHON).name)) for n in range(PROCESSES)]
        for title, programs in (("new program files", copies), ("a known program file", [PYTHON] * PROCESSES)):
            times = measured(programs)
            found = sorted(ms for ms in times if ms is not None)
            text = f"median {statistics.median(found):.1f} ms, largest {found[-1]:.1f} ms" if found else "none"
            print(f"{title}: {len(found)} of {len(times)} known: {text}", file=sys.stdout, flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
