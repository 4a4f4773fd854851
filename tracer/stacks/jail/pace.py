"""How slow this machine is: limits in CPU time allow for the same work everywhere.

An emulated guest (qemu without KVM) takes 12 times as long for the same work. A fixed limit would end honest work.
"""

from __future__ import annotations

import time

_ROUNDS, _STEPS = 4, 20_000
_USUAL_S = 0.0015
"""One round on a machine as is usual in 2025, with a margin: 0.0012 s with Python 3.11."""
SLOWEST = 16.0
"""The most that limits are stretched."""


def slowness() -> float:
    """How many times slower than usual this machine is, from 1 to SLOWEST. Takes 5 ms on a usual one.

    CPU time of this thread counts, and the best round: other programs that run meanwhile count little.
    """
    return within(min(_round() for _ in range(_ROUNDS)) / _USUAL_S)


def within(factor: float) -> float:
    """``factor``, brought into the range that :func:`slowness` has."""
    return min(SLOWEST, max(1.0, factor))


def _round() -> float:
    begun, total = time.thread_time(), 0
    for number in range(_STEPS):
        total += number * number & 0xFF
    return time.thread_time() - begun
