"""Measures the machine: kernel run time of BPF programs, CPU and memory of processes. Computes medians."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.kernel import bpf

_CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Runs:
    """How often all BPF programs of a process ran, and the time that took in ns."""

    ns: int
    count: int

    def __sub__(self, other: Runs) -> Runs:
        return Runs(self.ns - other.ns, self.count - other.count)

    @property
    def ns_per_run(self) -> float:
        return self.ns / self.count if self.count else 0.0


@contextlib.contextmanager
def bpf_stats() -> Iterator[None]:
    """Count run times. That costs each run some ns, so it is off while throughput is measured.

    It uses a descriptor, so that counting ends with the last user, also if a process is killed.
    """
    descriptor = bpf.enable_run_time_stats()
    try:
        yield
    finally:
        os.close(descriptor)


def _fdinfo(pid: int) -> Iterator[dict[str, str]]:
    directory = Path(f"/proc/{pid}/fdinfo")
    for name in os.listdir(directory):
        with contextlib.suppress(OSError):
            text = (directory / name).read_text()
            yield dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def runs(pid: int) -> Runs:
    """The runs so far, from ``/proc/PID/fdinfo`` (run_time_ns and run_cnt; each program counts once)."""
    programs = {info["prog_id"]: info for info in _fdinfo(pid) if "run_cnt" in info}
    return Runs(
        sum(int(p["run_time_ns"]) for p in programs.values()), sum(int(p["run_cnt"]) for p in programs.values())
    )


def programs(pid: int) -> int:
    """How many BPF programs a process holds."""
    return len({info["prog_id"] for info in _fdinfo(pid) if "prog_id" in info})


def map_bytes(pid: int) -> int:
    """Bytes of kernel memory of the BPF maps that a process holds (memlock in fdinfo)."""
    maps = {info["map_id"]: info for info in _fdinfo(pid) if "map_id" in info and "memlock" in info}
    return sum(int(one["memlock"]) for one in maps.values())


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def exact_cpu_s(pid: int) -> float:
    """The same to the ns, by the CPU clock of the process (clock_getcpuclockid(3)), not in ticks of 10 ms."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9


def rss_bytes(pid: int, peak: bool = False) -> int:
    """Resident memory in bytes, without the box pool: that is kernel memory, and part of RssShmem or RssFile."""
    name = "VmHWM:" if peak else "RssAnon:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles. With fewer than four values the smallest and the largest replace the quartiles."""
    ordered = sorted(values)
    if len(ordered) < 4:
        low, high = ordered[0], ordered[-1]
    else:
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return {"median": statistics.median(ordered), "low": low, "high": high, "n": len(ordered)}


def middle(values: Sequence[float]) -> dict[str, float]:
    """The median, and between which values that of endless many turns lies (95 of 100 times).

    These are two of the values themselves, by their ranks (binomial distribution). Fewer than six do not tell so much:
    then they are the smallest and the largest.
    """
    ordered = sorted(values)
    count = len(ordered)
    away = 1.96 * math.sqrt(count) / 2
    low, high = max(0, math.floor(count / 2 - away)), min(count - 1, math.ceil(count / 2 + away))
    return {"median": statistics.median(ordered), "low": ordered[low], "high": ordered[high], "n": count}
