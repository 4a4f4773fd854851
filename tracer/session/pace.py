"""How often work is done that nobody waits for: so seldom that it takes a small share of one CPU."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Optional

_USUAL_SHARE = 0.1
_OF_LIMIT = 0.001
"""Share of one CPU for each percent that is allowed: a tenth of the limit. The rest is for hooks and stacks."""
_STACKS_OF_LIMIT = 0.004
"""The same for stacks that nobody has asked for yet."""


def share_of(percent: Optional[float]) -> float:
    """The share of one CPU for work of one kind, given the limit of a run of months in percent; None: no limit."""
    return _USUAL_SHARE if percent is None else min(_USUAL_SHARE, _OF_LIMIT * percent)


def stacks_share_of(percent: float) -> float:
    """The same for stacks that are read early, though nobody has asked for them yet."""
    return _STACKS_OF_LIMIT * percent


class Pace:
    """After a turn that took CPU time t there is none for t / ``share``; ``share`` is a part of one CPU.

    It goes by this thread's CPU time: while others have the CPU, turns would become rare.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._next_ns = 0

    @property
    def due(self) -> bool:
        """Whether the next turn may begin."""
        return time.monotonic_ns() >= self._next_ns

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One turn: what is done within it."""
        cpu_ns = time.thread_time_ns()
        try:
            yield
        finally:
            spent = time.thread_time_ns() - cpu_ns
            self._next_ns = time.monotonic_ns() + int(spent / self.share)
