"""What is read off the machine: kernel run time of BPF programs, CPU and memory of processes, and medians."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.kernel import bpf

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Runs:
    """Runs of all programs that a process holds, and the time they took."""

    ns: int
    count: int

    def __sub__(self, other: Runs) -> Runs:
        return Runs(self.ns - other.ns, self.count - other.count)

    @property
    def ns_per_run(self) -> float:
        return self.ns / self.count if self.count else 0.0


@contextlib.contextmanager
def bpf_stats() -> Iterator[None]:
    """With run times counted, which itself costs each run some ns: not while throughput is measured.

    By a descriptor, so that neither two of these at once nor a killed run leaves it on.
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
    """So far, by the descriptors in ``/proc/PID/fdinfo`` (run_time_ns and run_cnt of each program, once)."""
    programs = {info["prog_id"]: info for info in _fdinfo(pid) if "run_cnt" in info}
    return Runs(
        sum(int(p["run_time_ns"]) for p in programs.values()), sum(int(p["run_cnt"]) for p in programs.values())
    )


def programs(pid: int) -> int:
    """How many BPF programs a process holds."""
    return len({info["prog_id"] for info in _fdinfo(pid) if "prog_id" in info})


def map_bytes(pid: int) -> int:
    """Kernel memory of the BPF maps that a process holds, as the kernel states it."""
    maps = {info["map_id"]: info for info in _fdinfo(pid) if "map_id" in info and "memlock" in info}
    return sum(int(one["memlock"]) for one in maps.values())


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_bytes(pid: int, peak: bool = False) -> int:
    """Resident memory of its own, without the box pool, which is kernel memory that it maps (RssShmem, RssFile)."""
    name = "VmHWM:" if peak else "RssAnon:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, with the lower and the upper quartile (of few values: the extremes) as its spread."""
    ordered = sorted(values)
    if len(ordered) < 4:
        low, high = ordered[0], ordered[-1]
    else:
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return {"median": statistics.median(ordered), "low": low, "high": high, "n": len(ordered)}
