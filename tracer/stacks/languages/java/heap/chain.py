"""A chain of holders as addresses: made from what a scan found, then read again to see that it is true."""

from __future__ import annotations

import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional, TypeVar

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.oops import HEADER_BYTES, Oops
from tracer.stacks.languages.java.heap.spaces import Spaces
from tracer.stacks.target.reader import Reader

_TRIES = 5
_MOST_WAITS = 1000
_WAIT_MS = 2
"""While there is a collection: a pause takes some milliseconds, seldom more than 100."""
_ONE_READ = 4096


T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """The object of class ``klass`` at ``holder`` refers, at ``offset``, to the object at ``held``."""

    holder: int
    klass: Klass
    offset: int
    held: int


class Verifier:
    """Reads chains again. What moves objects is the collector, and it counts what it does."""

    def __init__(self, reader: Reader, oops: Oops, spaces: Spaces) -> None:
        self._reader, self._oops, self._spaces = reader, oops, spaces
        self._left, self._poll = _MOST_WAITS, select.poll()

    def steady(self, read: Callable[[], T]) -> Optional[T]:
        """What ``read`` gives when no collection came between its begin and its end; None if one always did."""
        for _ in range(_TRIES):
            try:
                before = self._between_collections()
                value = read()
                if not before[1] and self._spaces.collections() == before:
                    return value
            except MemoryUnreadable:
                continue
        return None

    def holds(self, steps: Sequence[Step]) -> bool:
        """Whether every link is there, looked at twice. Raises MemoryUnreadable."""
        return all(self._is_true(step) for _ in range(2) for step in steps)

    def _between_collections(self) -> tuple[int, bool]:
        """The collector's counts, if possible while it rests."""
        counts = self._spaces.collections()
        while counts[1] and self._left:
            self._left -= 1
            self._poll.poll(_WAIT_MS)  # a sleep that a worker is allowed
            counts = self._spaces.collections()
        return counts

    def _is_true(self, step: Step) -> bool:
        size = self._oops.size
        if step.offset < _ONE_READ:
            raw = self._reader.read(step.holder, max(step.offset + size, HEADER_BYTES))
            header, slot = raw[:HEADER_BYTES], raw[step.offset : step.offset + size]
        else:
            header = self._reader.read(step.holder, HEADER_BYTES)
            slot = self._reader.read(step.holder + step.offset, size)
        return self._oops.header_number(header) == step.klass.number and int.from_bytes(
            slot, "little"
        ) == self._oops.reference(step.held)
