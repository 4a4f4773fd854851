"""Objects in buffers of heap: which words are classes, and which references their objects have. With numpy.

All is done for thousands of objects at once. An object is known by its position: the index of its first 8 bytes in the
buffer. A class is known by its index in :attr:`Content.classes`; 0 stands for no class that is of interest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.memory import OBJECT_BYTES
from tracer.stacks.languages.java.heap.oops import Oops

Array = Any
"""A numpy array: numpy's own types differ from release to release."""

WEAK, HIDDEN = 1, 2
FLAGS = 3
"""WEAK: followed where nothing else leads anywhere. HIDDEN: only to see whether anything at all refers to a socket."""
_MAX_TABLE = 1 << 22
_COMPACT_SHIFT = 42


class Content:
    """Offsets of references have a flag in their lower bits, which are zero where a reference is always followed."""

    def __init__(self, oops: Oops, klasses: Iterable[Klass]) -> None:
        self.oops = oops
        self.reference_type = np.dtype(np.uint32 if oops.size == 4 else np.uint64)
        self._words = np.dtype(np.uint64 if oops.class_bytes != 4 else np.uint32)
        listed = sorted(klasses, key=lambda klass: klass.number)
        self.classes: list[Klass] = [Klass(0, 0, "", 0, 0, False, 0, (), False, 0), *listed]
        self.index = {klass.address: place for place, klass in enumerate(self.classes) if place}
        self._numbers = np.array([klass.number for klass in listed], dtype=np.uint64)
        self._low, self._span = int(self._numbers[0]), int(self._numbers[-1] - self._numbers[0])
        self._table_shift = int(np.bitwise_or.reduce(self._numbers - self._numbers[0]) or 1)
        self._table_shift = (self._table_shift & -self._table_shift).bit_length() - 1
        self._table: Array = self._make_table()
        self.wanted = np.zeros(len(self.classes), dtype=bool)
        self._starts = np.zeros(len(self.classes) + 1, dtype=np.int64)
        self._offsets = np.zeros(0, dtype=np.int32)
        self._flags = np.zeros(0, dtype=np.int32)
        self.cut = np.zeros(len(self.classes), dtype=bool)
        """Classes some of whose references are beyond what is read of an object."""

    def _make_table(self) -> Array:
        places = (self._numbers - np.uint64(self._low)) >> np.uint64(self._table_shift)
        if int(places[-1]) >= _MAX_TABLE:
            return None
        table = np.zeros(int(places[-1]) + 1, dtype=np.int32)
        table[places.astype(np.int64)] = np.arange(1, len(places) + 1, dtype=np.int32)
        return table

    def use(self, references: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Take the references that are followed: for each class, offset and flag."""
        counts = [len(one) for one in references]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._offsets = np.array([offset for one in references for offset, _ in one], dtype=np.int32)
        self._flags = np.array([flag for one in references for _, flag in one], dtype=np.int32)
        self.cut = np.array([any(at > OBJECT_BYTES - 8 for at in klass.references) for klass in self.classes])
        self.wanted = np.array([any(flag != HIDDEN for _, flag in one) for one in references]) & ~self.cut

    def at_all_positions(self, buffer: Array, count: int) -> tuple[Array, Array]:
        """The positions below ``count`` at which a class's number is where an object has it, and the classes' indices.

        ``buffer`` has 8 bytes more than ``count`` positions.
        """
        if self.oops.compact:
            words = buffer.view(np.uint64)[:count] >> np.uint64(_COMPACT_SHIFT)
        elif self.oops.class_bytes == 4:
            words = buffer.view(np.uint32)[2 : 2 * count + 2 : 2]
        else:
            words = buffer.view(np.uint64)[1 : count + 1]
        kind = words.dtype.type
        above = words - kind(self._low)
        places = np.flatnonzero(above <= kind(self._span))
        return self._known(places, above[places])

    def at(self, buffer: Array, positions: Array) -> Array:
        """The indices of the classes of the objects at these positions; 0 where there is none or it has moved."""
        marks: Array = buffer.view(np.uint64)[positions]
        if self.oops.compact:
            words = marks >> np.uint64(_COMPACT_SHIFT)
        elif self.oops.class_bytes == 4:
            words = buffer.view(np.uint32)[2 * positions + 2].astype(np.uint64)
        else:
            words = buffer.view(np.uint64)[positions + 1]
        found: Array = np.zeros(len(positions), dtype=np.int32)
        above: Array = words - np.uint64(self._low)
        places = np.flatnonzero((above <= np.uint64(self._span)) & (marks & np.uint64(3) != np.uint64(3)))
        places, indices = self._known(places, above[places])
        found[places] = indices
        return found

    def _known(self, places: Array, above: Array) -> tuple[Array, Array]:
        kind = above.dtype.type
        if self._table is None:
            wide = above.astype(np.uint64) + np.uint64(self._low)
            spots: Array = np.searchsorted(self._numbers, wide)
            same: Array = self._numbers[np.minimum(spots, len(self._numbers) - 1)] == wide
            return places[same], (spots[same] + 1).astype(np.int32)
        mask = kind((1 << self._table_shift) - 1)
        if mask:
            aligned = (above & mask) == 0
            places, above = places[aligned], above[aligned] >> kind(self._table_shift)
        indices = self._table[above.astype(np.int64)]
        some = indices > 0
        return places[some], indices[some]

    def references(self, buffer: Array, positions: Array, indices: Array) -> tuple[Array, Array, Array]:
        """The references, not null, in these objects: index of the object, offset with flag, what it refers to.

        The objects lie in the buffer as a whole.
        """
        starts = self._starts[indices]
        counts = self._starts[indices + 1] - starts
        total = int(counts.sum())
        if not total:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=self.reference_type)
        owners = np.repeat(np.arange(len(positions)), counts)
        before = np.cumsum(counts) - counts
        slots = np.arange(total) - before[owners] + starts[owners]
        offsets = self._offsets[slots]
        values = buffer.view(self.reference_type)[(positions[owners] * 8 + offsets) // self.oops.size]
        some = np.flatnonzero(values)
        return owners[some], offsets[some] | self._flags[slots[some]], values[some]

    def encoded(self, addresses: Array) -> Array:
        """Addresses in the form in which references are stored."""
        return ((addresses - np.uint64(self.oops.base)) >> np.uint64(self.oops.shift)).astype(self.reference_type)

    def decoded(self, references: Array) -> Array:
        """The addresses of references that are not null."""
        return (references.astype(np.uint64) << np.uint64(self.oops.shift)) + np.uint64(self.oops.base)
