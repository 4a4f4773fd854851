"""Gathers, again and again, what tells later since when a code object has been at its address."""

from __future__ import annotations

import time
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.codelayout import CodeLayout
from tracer.stacks.languages.cpython.sweep import sweep
from tracer.stacks.target.process import Process

_SAMPLE_NS = 20_000_000
_SWEEP_NS = 5_000_000_000
_REST = 200
"""Between two sweeps there are so many times as long as one took."""


class Upkeep:
    """For one process: reads the counter of code objects at ``counter`` (address), or sweeps where that is None.

    ``was_swept``: the first sweep can wait until a code object is met that the ages do not know.
    """

    def __init__(
        self,
        process: Process,
        ages: Ages,
        code_type: int,
        layout: CodeLayout,
        counter: Optional[int],
        *,
        was_swept: bool,
    ) -> None:
        self._process, self._ages = process, ages
        self._code_type, self._layout, self._counter = code_type, layout, counter
        self._swept_ns = self._took_ns = 0
        self._not_before_ns = time.monotonic_ns() + _SWEEP_NS
        if counter is not None or not was_swept:
            self._do()

    def look(self) -> None:
        """The process is looked at, perhaps because it is young. Sweeps as often as the time that it takes allows."""
        now = time.monotonic_ns()
        if self._counter is not None or now >= self._swept_ns + _REST * self._took_ns:
            self._do()

    def begin(self) -> None:
        """Another stack is to be named. What is gathered now is of use for the next touches."""
        if time.monotonic_ns() >= self._not_before_ns and (self._counter is not None or self._ages.unsure):
            self._do()

    def _do(self) -> None:
        begun = time.monotonic_ns()
        if self._counter is not None:
            self._sample(self._counter)
            self._not_before_ns = begun + _SAMPLE_NS
            return
        self._ages.unsure = False
        found = sweep(self._process, self._code_type, self._layout)
        ended = time.monotonic_ns()
        self._ages.sweep(ended, found)
        self._swept_ns, self._took_ns = ended, ended - begun
        self._not_before_ns = ended + max(_SWEEP_NS, _REST * self._took_ns)

    def _sample(self, address: int) -> None:
        try:
            count = int.from_bytes(self._process.read(address, 4), "little")
        except MemoryUnreadable:
            return
        self._ages.sample(time.monotonic_ns(), count)
