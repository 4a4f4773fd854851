"""One line of figures of a running agent, every few seconds."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import measure

_MEBI = 1 << 20
_WAITING = re.compile(r"^closetrace_close_wait_sockets\{[^}]*\} (\S+)$", re.MULTILINE)
_SITE = re.compile(r'^closetrace_close_wait_sockets\{[^}]*site="([^"]+)"', re.MULTILINE)
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")
_BPF = "anon_inode:bpf-map"


class Answer(NamedTuple):
    """What the agent answered last: sockets, those with a stack of their last call, steps of ``--max-overhead``."""

    told: int = 0
    stacks: int = 0
    steps: int = 0


def answer(report: Any) -> Answer:
    """The figures of a report, as JSON has it."""
    sockets = [one for site in report["sites"] for one in site["sockets"]]
    stacks = sum(1 for one in sockets if "stack" in one["record"].get("last", {}))
    return Answer(len(sockets), stacks, len(report["cost"]["backed_off"]))


class Sample(NamedTuple):
    """``s``: seconds since the start. Memory in MB (2**20 bytes).

    ``agent_mb`` and ``workers_mb`` are RSS without the BPF maps, which are mapped into the agent; these are counted in
    ``kernel_mb``. ``starts`` is how often a program was started, ``agent_cpu_s`` and ``workers_cpu_s`` are CPU so far.
    ``told`` are the sockets of the last answer, ``stacks`` those of them whose last call has a stack, ``steps`` how
    often ``--max-overhead`` took stacks away or gave them back.
    """

    s: float
    agent_mb: float
    workers_mb: float
    kernel_mb: float
    agent_fds: int
    workers_fds: int
    workers: int
    series: int
    sites: int
    waiting: int
    starts: int
    agent_cpu_s: float
    workers_cpu_s: float
    told: int
    stacks: int
    steps: int

    @property
    def both_mb(self) -> float:
        """RSS of all processes."""
        return self.agent_mb + self.workers_mb


def children(pid: int) -> list[int]:
    """The processes that were started by any thread of this one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def rss_mb(pid: int) -> float:
    """RSS of a process, without BPF maps that are mapped into it: /proc/PID/smaps."""
    total, counts = 0, True
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if _MAPPING.match(line):
                counts = _BPF not in line
            elif line.startswith("Rss:") and counts:
                total += int(line.split()[1])
    return total / 1024


def _descriptors(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        return measure.cpu_s(pid)
    return 0.0


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def take(pid: int, port: int, seconds: float, starts: int, last: Answer) -> Sample:
    """Figures of the agent ``pid``, whose metrics are at ``port``, with those of its ``last`` answer."""
    workers: Sequence[int] = children(pid)
    text = _metrics(port)
    return Sample(
        s=round(seconds, 1),
        agent_mb=round(rss_mb(pid), 1),
        workers_mb=round(sum(map(rss_mb, workers)), 1),
        kernel_mb=round(measure.map_bytes(pid) / _MEBI, 1),
        agent_fds=_descriptors(pid),
        workers_fds=sum(map(_descriptors, workers)),
        workers=len(workers),
        series=sum(1 for line in text.splitlines() if line and not line.startswith("#")),
        sites=len(set(_SITE.findall(text))),
        waiting=round(sum(map(float, _WAITING.findall(text)))),
        starts=starts,
        agent_cpu_s=_cpu_s(pid),
        workers_cpu_s=round(sum(map(_cpu_s, workers)), 2),
        told=last.told,
        stacks=last.stacks,
        steps=last.steps,
    )
