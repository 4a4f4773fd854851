"""What the kernel side costs, as the kernel counts it: run time of our programs, memory of our maps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.kernel import bpf


@dataclass(frozen=True)
class KernelCost:
    """``run_ns`` is None if the kernel does not count run times (kernel.bpf_stats_enabled). ``memory`` is in bytes."""

    run_ns: Optional[int]
    memory: int


def _own_objects() -> Iterator[dict[str, str]]:
    """The fdinfo of each descriptor of a BPF object (proc_pid_fdinfo(5))."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("anon_inode:bpf-"):
                continue
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as file:
                yield dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        except OSError:
            continue


def kernel_cost() -> KernelCost:
    """The cost of this process's BPF programs and maps so far."""
    objects = list(_own_objects())
    programs = {one["prog_id"]: one for one in objects if "run_cnt" in one}
    maps = {one["map_id"]: int(one.get("memlock", 0)) for one in objects if "map_id" in one}
    counted = any(int(one["run_cnt"]) for one in programs.values())
    run_ns = sum(int(one["run_time_ns"]) for one in programs.values()) if counted else None
    return KernelCost(run_ns, sum(maps.values()))


class RunTimeCounting:
    """While this is open, the kernel counts the run time of BPF programs, if it can (since Linux 5.8)."""

    def __init__(self) -> None:
        self._descriptor = -1
        try:
            self._descriptor = bpf.enable_run_time_stats()
        except OSError:
            self._descriptor = -1

    def close(self) -> None:
        """Stop counting, unless kernel.bpf_stats_enabled is set."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
