"""Forward from the roots, breadth first: what is reachable, and by which reference each object was first reached.

What a scan noted is known; what it left out (arrays, nodes of collections) is read here, but only where something
reachable refers to it. So dead objects never appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.stacks.languages.java.heap.content import FLAGS, HIDDEN, WEAK, Array, Content
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.scan import Noted

_MOST_READ = 250_000
"""Objects that are looked into because something reachable refers to them, beside those that the scan noted."""
_MOST_ELEMENTS = 2_000_000
_MORE_READ, _MORE_ELEMENTS = 2_000_000, 8_000_000
"""More of both, to see whether nothing at all refers to a socket."""
_LONG_ARRAY = 16_384
"""Elements. Longer arrays are looked into last, so that a large cache does not use up what may be read."""
_MOST_ROUNDS = 20_000


class _Seen:
    """A set of references; two sorted arrays, so that adding few to many is cheap."""

    def __init__(self, kind: Any) -> None:
        self._large, self._small = np.zeros(0, dtype=kind), np.zeros(0, dtype=kind)

    def has(self, values: Array) -> Array:
        """Which of these are in it."""
        return _in(self._large, values) | _in(self._small, values)

    def add(self, fresh: Array) -> None:
        """Add values that are not in it."""
        self._small = np.sort(np.concatenate([self._small, fresh]))
        if len(self._small) > max(4096, len(self._large) // 8):
            self._large = np.sort(np.concatenate([self._large, self._small]))
            self._small = self._small[:0]


def _in(ordered: Array, values: Array) -> Array:
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    places: Array = np.searchsorted(ordered, values)
    places[places == len(ordered)] = 0
    return ordered[places] == values


class Edges:
    """References from parents to children, both as stored, with offset and the index of the parent's class."""

    def __init__(self, parents: Array, offsets: Array, children: Array, indices: Array) -> None:
        self.parents, self.offsets, self.children, self.indices = parents, offsets, children, indices

    def __len__(self) -> int:
        return len(self.parents)

    def those(self, which: Array) -> Edges:
        """Some of them."""
        return Edges(self.parents[which], self.offsets[which], self.children[which], self.indices[which])

    @staticmethod
    def joined(parts: list[Edges], like: Edges) -> Edges:
        """All of ``parts`` as one; ``like`` gives the types if there is none."""
        some = parts or [like.those(np.zeros(0, dtype=np.int64))]
        return Edges(
            np.concatenate([one.parents for one in some]),
            np.concatenate([one.offsets for one in some]),
            np.concatenate([one.children for one in some]),
            np.concatenate([one.indices for one in some]),
        )


class Reach:
    """``threads`` are the live threads' objects as stored, sorted: they are roots, so no chain goes through one.

    ``watched`` are indices of classes whose objects :meth:`met` tells.
    """

    def __init__(
        self, memory: Memory, content: Content, noted: Noted, threads: Array, watched: Sequence[int] = ()
    ) -> None:
        self._memory, self._content, self._threads = memory, content, threads
        self._watched, self._met = np.array(watched, dtype=np.int32), [noted.parents[:0]]
        self._noted = Edges(noted.parents, noted.offsets, noted.children, noted.indices)
        self._known = noted.known
        self._seen = _Seen(content.reference_type)
        self._arrays = np.array([klass.is_reference_array for klass in content.classes])
        self._elements_at = np.array([klass.elements_at for klass in content.classes], dtype=np.int32)
        self.complete = True
        """Whether all that is reachable was looked at, within the limits on what is read."""
        self._left_to_read, self._left_elements = _MOST_READ, _MOST_ELEMENTS
        self._steps: list[Edges] = []
        self._read: list[Edges] = []
        self._weak: list[Edges] = []
        self._hidden: list[Edges] = []
        self._keep = True
        self._long: list[tuple[int, int, int]] = []

    def roots(self, front: Array) -> None:
        """Follow all from these objects (as stored) that were not reached before."""
        fresh = np.unique(front)
        self._go(fresh[~self._seen.has(fresh)])

    def last_resorts(self, targets: Array) -> None:
        """Follow what is followed only as long as not all ``targets`` are reached: long arrays, then registrations."""
        self._long.sort()
        while self._long and not self._seen.has(targets).all():
            self._take_long()
        while self._weak and not self._seen.has(targets).all():
            weak = Edges.joined(self._weak, self._noted)
            self._weak.clear()
            self._take(weak)

    def all(self, front: Array) -> None:
        """Follow all from these objects, too, by every reference that the collector counts; nothing of it is kept."""
        if self._keep:
            self._keep = False
            self._left_to_read += _MORE_READ
            self._left_elements += _MORE_ELEMENTS
        self.roots(front)
        for _ in range(_MOST_ROUNDS):
            while self._long:
                self._take_long()
            if not self._weak and not self._hidden:
                return
            edges = Edges.joined([*self._weak, *self._hidden], self._noted)
            self._weak.clear()
            self._hidden.clear()
            self._take(edges)
        self.complete = False

    def _take_long(self) -> None:
        length, address, index = self._long.pop(0)
        if length > self._left_elements:
            self.complete = False
            return
        elements = self._elements(address, length, index)
        if self._keep:
            self._read.append(elements)
        self._take(elements)

    def _go(self, front: Array) -> None:
        for _ in range(_MOST_ROUNDS):
            if not len(front):
                return
            self._seen.add(front)
            self._memory.check()
            front = self._step(self._from(front))
        self.complete = False

    def _take(self, edges: Edges) -> None:
        self._go(self._step(edges))

    def _step(self, edges: Edges) -> Array:
        """Keep for each child that is new the first reference to it; the new children, sorted."""
        children, first = np.unique(edges.children, return_index=True)
        fresh = ~self._seen.has(children) & ~_in(self._threads, children)
        if self._keep:
            self._steps.append(edges.those(first[fresh]))
        return children[fresh]

    def _from(self, front: Array) -> Edges:
        known = _in(self._known, front)
        low = np.searchsorted(self._noted.parents, front[known])
        count = np.searchsorted(self._noted.parents, front[known], "right") - low
        places = np.repeat(low - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
        parts = [self._noted.those(places)]
        unknown = front[~known]
        if len(unknown) > self._left_to_read:
            self.complete = False
            unknown = unknown[: self._left_to_read]
        if len(unknown):
            self._left_to_read -= len(unknown)
            read = self._look_into(unknown)
            self._read += read if self._keep else []
            parts += read
        edges = Edges.joined(parts, self._noted)
        flags = edges.offsets & FLAGS
        if not flags.any():
            return edges
        for flag, put_off in ((WEAK, self._weak), (HIDDEN, self._hidden)):
            if (flags == flag).any():
                put_off.append(edges.those(flags == flag))
        return edges.those(flags == 0)

    def _look_into(self, unknown: Array) -> list[Edges]:
        found = []
        for which, buffer, positions in self._memory.blocks(self._content.decoded(unknown)):
            indices = self._content.at(buffer, positions)
            self.complete &= bool(indices.all()) and not self._content.cut[indices].any()
            here = unknown[which]
            self._met.append(here[np.isin(indices, self._watched)])
            owners, offsets, children = self._content.references(buffer, positions, indices)
            if len(owners):
                found.append(Edges(here[owners], offsets, children, indices[owners]))
            found += self._arrays_among(here, buffer, positions, indices)
        return found

    def _arrays_among(self, here: Array, buffer: Array, positions: Array, indices: Array) -> list[Edges]:
        found, words = [], buffer.view(np.uint32)
        some = np.flatnonzero(self._arrays[indices])
        lengths = words[positions[some] * 2 + self._content.oops.length_at // 4]
        addresses = self._content.decoded(here[some]).tolist()
        for address, length, index in zip(addresses, lengths.tolist(), indices[some].tolist()):
            if length > _LONG_ARRAY:
                self._long.append((length, address, index))
            elif length > self._left_elements:
                self.complete = False
            elif length:
                found.append(self._elements(address, length, index))
        return found

    def _elements(self, address: int, length: int, index: int) -> Edges:
        """The elements of one array that are not null."""
        content, begin = self._content, int(self._elements_at[index])
        self._left_elements -= length
        values = self._memory.array(address + begin, length, content.reference_type)
        self.complete &= len(values) == length
        places = np.flatnonzero(values)
        parents = np.full(len(places), content.oops.reference(address), dtype=content.reference_type)
        offsets = (begin + places * content.oops.size).astype(np.int32)
        return Edges(parents, offsets, values[places], np.full(len(places), index, dtype=np.int32))

    def reached(self, references: Array) -> Array:
        """Which of these were reached."""
        return self._seen.has(references)

    def met(self) -> Array:
        """Those objects of a watched class that were reached, and that the scan had not noted."""
        return np.concatenate(self._met)

    def steps(self) -> Edges:
        """By which reference each object was first reached, sorted by what was reached."""
        steps = Edges.joined(self._steps, self._noted)
        return steps.those(np.argsort(steps.children, kind="stable"))

    def all_edges(self) -> Edges:
        """All references that are known, also of what is dead."""
        return Edges.joined([self._noted, *self._read], self._noted)

    def live_edges(self) -> Edges:
        """All references of what was reached, sorted by parent."""
        live = Edges.joined([self._noted.those(self._seen.has(self._noted.parents)), *self._read], self._noted)
        return live.those(np.argsort(live.parents, kind="stable"))
