"""What CLOCK_MONOTONIC is in the time of day, which may be set while a run goes on."""

from __future__ import annotations

import time
from typing import NamedTuple

_SET_NS = 100_000_000
"""Between two looks at two clocks less than that passes. What NTP slews moves both alike (clock_gettime(2))."""


def clock_offset_ns() -> int:
    """What to add to CLOCK_MONOTONIC to get nanoseconds since the epoch."""
    return time.time_ns() - time.monotonic_ns()


class Clock(NamedTuple):
    """When a run began, in seconds since the epoch, and the offset of CLOCK_MONOTONIC (ns) by the same clock."""

    started: float
    offset_ns: int

    def now(self) -> Clock:
        """The same by the clock as it is set now.

        A host may boot with a wrong time and get the right one later, in the middle of a run of months. CLOCK_MONOTONIC
        stands still while a host sleeps: what was before such a pause is then told as later, by as long as it slept.
        """
        offset_ns = clock_offset_ns()
        moved_ns = offset_ns - self.offset_ns
        return self if abs(moved_ns) < _SET_NS else Clock(self.started + moved_ns / 1e9, offset_ns)
