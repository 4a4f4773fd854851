"""When threads began, so that a number that was given to another thread since is not taken for the old one."""

from __future__ import annotations

import os
import time
from typing import Optional

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def began_ns(pid: int, tid: int) -> Optional[int]:
    """When the thread began, in CLOCK_MONOTONIC ns, up to 10 ms too early; None if there is no such thread."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[19])  # starttime, counted by the clock that goes on in suspend (proc(5))
    except (OSError, IndexError, ValueError):
        return None
    return ticks * _TICK_NS - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())
