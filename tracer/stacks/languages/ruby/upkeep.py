"""Gathers, again and again, what tells later since when code has been at its address."""

from __future__ import annotations

import time

from tracer.stacks.languages.ruby.ages import Ages
from tracer.stacks.languages.ruby.layouts import Layout
from tracer.stacks.languages.ruby.sweep import sweep
from tracer.stacks.target.process import Process

_SAMPLE_NS = 5_000_000
_SWEEP_NS = 5_000_000_000
_REST = 200
"""Between two sweeps there are so many times as long as one took."""


class Upkeep:
    """For one process: counts its garbage collections, and sweeps at first and where code was met of unknown age."""

    def __init__(self, process: Process, ages: Ages, layout: Layout) -> None:
        self._process, self._ages, self._layout = process, ages, layout
        self._sample_at = self._sweep_at = 0
        self.begin()

    def begin(self) -> None:
        """Another stack is to be named. What is gathered now is of use for the next touches."""
        now = time.monotonic_ns()
        if now >= self._sample_at:
            self._ages.sample(now)
            self._sample_at = now + _SAMPLE_NS
        if now >= self._sweep_at and self._ages.unsure:
            self._ages.unsure = False
            found = sweep(self._process, self._layout)
            ended = time.monotonic_ns()
            self._ages.sweep(ended, found)
            self._sweep_at = ended + max(_SWEEP_NS, _REST * (ended - now))
