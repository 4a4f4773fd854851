"""Is a socket that no root leads to held by nothing? Answered as the collector does (Modules/gcmodule.c).

Of the objects that the collector knows and that the walk did not reach, the references among them are taken off their
reference counts. An object with a rest is held by something that cannot be seen: C code, or an evaluation stack. A
socket that no such object leads to is held by a cycle of references alone.

Only references that an object is known to own are taken off. So where something is not known, a rest is left over, and
nothing is said.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from typing import Optional

import numpy as np

from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.content import Content
from tracer.stacks.languages.cpython.heap.memory import Array, Memory
from tracer.stacks.languages.cpython.heap.opened import Heap
from tracer.stacks.languages.cpython.heap.types import TypeInfo
from tracer.stacks.languages.cpython.heap.walk import Walk

_GENERATIONS, _GENERATION_BYTES = 3, 24
_MOST_KNOWN, _MOST_LEFT = 1_000_000, 50_000
_REFERENCES = 0xFFFF_FFFF
_OWNED = {"cell": (16,), "method": (16, 24)}
"""Where objects of these types have references that they own."""


def lost(heap: Heap, memory: Memory, walk: Walk, sockets: Collection[int]) -> set[int]:
    """Those of these sockets, which ``walk`` did not reach, that only cycles hold. ``memory`` has nothing in it yet.

    Raises OutOfTime, TooLarge, MemoryUnreadable and Nonsense.
    """
    left = None if heap.roots.collecting() else _left(heap, memory, walk)
    if left is None:
        return set()
    sums = _Sums(heap, memory, left)
    found = {one for one in sockets if sums.is_in_a_cycle(one)}
    return set() if heap.roots.collecting() else found


def _left(heap: Heap, memory: Memory, walk: Walk) -> Optional[list[int]]:
    """What the collector knows and the walk did not reach; None if the lists changed meanwhile, or are too long."""
    reader, known = heap.live.reader, 0
    left: list[int] = []
    layout = heap.layout
    firsts = [
        reader.pointer(interpreter + layout.generation0) if layout.generation0 else interpreter + layout.generations
        for interpreter in heap.roots.interpreters
    ]
    for head in (first + _GENERATION_BYTES * generation for first in firsts for generation in range(_GENERATIONS)):
        before, place = head, reader.pointer(head) & ~at.GC_FLAGS
        while place != head:
            following, previous = (
                word & ~at.GC_FLAGS for word in struct.unpack("<QQ", reader.read(place, at.GC_HEADER))
            )
            known += 1
            if previous != before or known > _MOST_KNOWN or len(left) > _MOST_LEFT:
                return None
            if not walk.reached(place + at.GC_HEADER):
                left.append(place + at.GC_HEADER)
            before, place = place, following
            if not known % 4096:
                memory.check()
    return left


class _Sums:
    """Of the objects at these addresses: what holds them from outside, and what that leads to."""

    def __init__(self, heap: Heap, memory: Memory, left: Iterable[int]) -> None:
        self._heap, self._memory = heap, memory
        self._content = Content(memory, heap.layout)
        positions, inside = memory.locate(np.array(sorted(left), dtype=np.uint64))
        self._objects: Array = np.unique(positions[inside])
        owned, held = self._edges()
        counts = (memory.take(self._objects) & np.uint64(_REFERENCES)).astype(np.int64)
        self._rests = counts - np.bincount(owned, minlength=len(self._objects))
        self._held = self._closure(*held)

    def _edges(self) -> tuple[Array, tuple[Array, Array]]:
        """What each owned reference leads to; and from where to where any reference leads. All by number."""
        types = self._memory.take(self._objects + at.TYPE)
        owned: list[Array] = []
        parents: list[Array] = []
        children: list[Array] = []
        for one in np.unique(types).tolist():
            info = self._heap.types.at(one)
            if info is None:
                continue
            of_type = np.flatnonzero(types == np.uint64(one))
            group = self._objects[of_type]
            for which, words in self._content.references(info, group):
                numbers, there = self._numbers(words)
                parents.append(of_type[which[there]])
                children.append(numbers[there])
            for _, words in self._content.owned(info, group, self._places(info)):
                numbers, there = self._numbers(words)
                owned.append(numbers[there])
        none = np.zeros(0, dtype=np.int64)
        return np.concatenate([none, *owned]), (np.concatenate([none, *parents]), np.concatenate([none, *children]))

    def _places(self, info: TypeInfo) -> list[int]:
        slots = [offset for offset in self._heap.types.members(info) if offset > 0] if info.heap else []
        return [*slots, *_OWNED.get(info.name, ())]

    def _numbers(self, words: Array) -> tuple[Array, Array]:
        """The numbers of the objects that these words refer to, and which of them are objects."""
        positions, inside = self._memory.locate(words)
        numbers: Array = np.searchsorted(self._objects, positions)
        numbers[numbers == len(self._objects)] = 0
        return numbers, inside & (self._objects[numbers] == positions) if len(self._objects) else inside & False

    def _closure(self, parents: Array, children: Array) -> Array:
        held = self._rests > 0
        while True:
            further = children[held[parents] & ~held[children]]
            if not len(further):
                return held
            held[further] = True

    def is_in_a_cycle(self, address: int) -> bool:
        """Whether the object is one of them, and nothing from outside leads to it."""
        position = self._memory.position(address)
        number = int(np.searchsorted(self._objects, position))
        there = position >= 0 and number < len(self._objects) and int(self._objects[number]) == position
        return there and not self._held[number]
