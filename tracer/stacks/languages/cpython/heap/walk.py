"""Forward from the roots, breadth first: which object was first reached from which."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.content import Content
from tracer.stacks.languages.cpython.heap.known import are_kept, is_counted, is_doubtful
from tracer.stacks.languages.cpython.heap.live import LOWEST
from tracer.stacks.languages.cpython.heap.memory import MOST_WORDS, Array, Memory
from tracer.stacks.languages.cpython.heap.steps import COUNT_MASK
from tracer.stacks.languages.cpython.heap.types import Kind, TypeInfo, Types

_BATCH = 1 << 16
_MOST_OBJECTS = 16_000_000
_GRANULE = 4
"""Objects begin at multiples of 16 bytes."""


class Walk:
    """``noted``: names of types whose objects are to be found again. ``unseen``: addresses never to be passed through.

    A node is the number of an object in the order in which objects were reached; a root is a negative number.
    """

    def __init__(
        self, memory: Memory, content: Content, types: Types, noted: Collection[str], leaves: Collection[int]
    ) -> None:
        self._memory, self._content, self._types, self._noted = memory, content, types, noted
        self._leaves = np.array(sorted(leaves), dtype=np.uint64)
        self._seen = np.zeros((memory.total >> _GRANULE + 3) + 1, dtype=np.uint8)
        self._bases: list[int] = []
        self._parts: list[tuple[Array, Array]] = []
        self.count = 0
        self.sockets: list[int] = []
        self.found: dict[str, list[int]] = defaultdict(list)
        self._named: dict[int, list[str]] = {}
        self._late: list[tuple[TypeInfo, Array, Array]] = []

    def bar(self, addresses: Sequence[int]) -> None:
        """These are never passed through."""
        positions, inside = self._memory.locate(np.array(addresses, dtype=np.uint64))
        self._mark(np.unique(positions[inside] >> _GRANULE))

    def follow(self, words: Sequence[int], roots: Sequence[int]) -> None:
        """Go on from these words, each of which is a root. Raises OutOfTime, TooLarge."""
        level = [self._admitted(np.array(roots, dtype=np.int64), np.array(words, dtype=np.uint64))]
        self._levels(level, late=False)

    def follow_late(self) -> None:
        """Go on from what was put off."""
        late, self._late = self._late, []
        level: list[tuple[Array, Array]] = []
        for info, objects, nodes in late:
            level += self._all_admitted(self._children(info, objects, nodes))
        self._levels(level, late=True)

    def _levels(self, level: list[tuple[Array, Array]], late: bool) -> None:
        while level:
            granules = np.concatenate([one[0] for one in level])
            parents = np.concatenate([one[1] for one in level])
            order = np.argsort(granules, kind="stable")
            granules, parents = granules[order], parents[order]
            level = []
            for first in range(0, len(granules), _BATCH):
                self._memory.check()
                some = slice(first, first + _BATCH)
                batch = self._batch(granules[some].astype(np.int64) << _GRANULE, parents[some], late)
                level += self._all_admitted(batch)

    def _batch(self, objects: Array, parents: Array, late: bool) -> Iterator[tuple[Array, Array]]:
        for info, some, of_some in self._by_type(objects, parents):
            nodes = self._add(some, of_some)
            self._note(info, nodes)
            if info.is_late and not late:
                self._late.append((info, some, nodes))
                continue
            yield from self._children(info, some, nodes)

    def _by_type(self, objects: Array, parents: Array) -> Iterator[tuple[TypeInfo, Array, Array]]:
        """Those that live and refer to others or have a number, with their parents."""
        counts = self._memory.take(objects).astype(np.int64) & COUNT_MASK
        types = self._memory.take(objects + at.TYPE)
        alive = is_counted(counts) & (types > LOWEST) & (types & np.uint64(7) == 0)
        alive &= ~np.isin(types, self._leaves)
        objects, parents, types, counts = objects[alive], parents[alive], types[alive], counts[alive]
        alive = self._memory.locate(types)[1]
        doubtful = np.flatnonzero(is_doubtful(counts) & alive)
        if len(doubtful):
            alive[doubtful] = self._are_kept(objects[doubtful], types[doubtful])
        objects, parents, types = objects[alive], parents[alive], types[alive]
        order = np.argsort(types, kind="stable")
        objects, parents, types = objects[order], parents[order], types[order]
        for info, some in self._runs(types):
            if info.kind is not Kind.LEAF or info.has_number:
                yield info, objects[some], parents[some]

    def _are_kept(self, objects: Array, types: Array) -> Array:
        """Which of these the collector keeps, where a count of references may be an address."""
        kept, order = np.zeros(len(objects), dtype=bool), np.argsort(types, kind="stable")
        for info, some in self._runs(types[order]):
            kept[order[some]] = are_kept(self._memory, info, objects[order[some]])
        return kept

    def _runs(self, types: Array) -> Iterator[tuple[TypeInfo, slice]]:
        """The types in this sorted array, and where each is."""
        begins = np.flatnonzero(np.concatenate(([True], types[1:] != types[:-1]))) if len(types) else types[:0]
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(types)]):
            info = self._types.at(int(types[begin]))
            if info is not None:
                yield info, slice(begin, end)

    def _children(self, info: TypeInfo, objects: Array, nodes: Array) -> Iterator[tuple[Array, Array]]:
        yield nodes[:1], np.array([info.address], dtype=np.uint64)
        for which, words in self._content.references(info, objects):
            yield nodes[which], words

    def _all_admitted(self, children: Iterable[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        """As _admitted, many together."""
        parents: list[Array] = []
        words: list[Array] = []
        count = 0
        for some_parents, some_words in children:
            parents.append(some_parents)
            words.append(some_words)
            count += len(some_words)
            if count > MOST_WORDS:
                yield self._admitted(np.concatenate(parents), np.concatenate(words))
                parents, words, count = [], [], 0
        if parents:
            yield self._admitted(np.concatenate(parents), np.concatenate(words))

    def _admitted(self, parents: Array, words: Array) -> tuple[Array, Array]:
        """What was not seen before, as granules, with parents."""
        good = (words > LOWEST) & (words & np.uint64(15) == 0)
        parents, words = parents[good], words[good]
        positions, inside = self._memory.locate(words)
        granules, first = np.unique(positions[inside] >> _GRANULE, return_index=True)
        fresh = self._mark(granules)
        return granules[fresh].astype(np.uint32), parents[inside][first][fresh].astype(np.int32)

    def _mark(self, granules: Array) -> Array:
        """Which of these, sorted and all different, were not marked before; now all are."""
        places, bits = granules >> 3, np.left_shift(1, granules & 7).astype(np.uint8)
        fresh = self._seen[places] & bits == 0
        places, bits = places[fresh], bits[fresh]
        if len(places):
            begins = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
            self._seen[places[begins]] |= np.bitwise_or.reduceat(bits, begins)
        return fresh

    def _add(self, objects: Array, parents: Array) -> Array:
        self._bases.append(self.count)
        self._parts.append(((objects >> _GRANULE).astype(np.uint32), parents))
        nodes = np.arange(self.count, self.count + len(objects))
        self.count += len(objects)
        if self.count > _MOST_OBJECTS:
            self._memory.too_many(self.count)
        return nodes

    def _note(self, info: TypeInfo, nodes: Array) -> None:
        if info.has_number:
            self.sockets += nodes.tolist()
        for name in self._names(info):
            self.found[name] += nodes.tolist()

    def _names(self, info: TypeInfo) -> list[str]:
        """Those of the noted types that this one is or is derived from."""
        if info.address not in self._named:
            bases = [self._types.at(base) for base in info.bases] if info.heap else []
            self._named[info.address] = [
                base.full_name for base in bases if base is not None and base.full_name in self._noted
            ]
        return self._named[info.address]

    def object(self, node: int) -> int:
        """The address of an object."""
        return self._memory.address(int(self._at(node)[0]) << _GRANULE)

    def path(self, node: int) -> tuple[list[int], int]:
        """From an object up to its root: the addresses, and the root."""
        addresses = []
        while node >= 0:
            granule, parent = self._at(node)
            addresses.append(self._memory.address(int(granule) << _GRANULE))
            node = int(parent)
        return addresses, node

    def _at(self, node: int) -> tuple[int, int]:
        part = bisect_right(self._bases, node) - 1
        granules, parents = self._parts[part]
        return granules[node - self._bases[part]], parents[node - self._bases[part]]

    def reached(self, address: int) -> bool:
        """Whether something refers to this address."""
        position = self._memory.position(address)
        granule = position >> _GRANULE
        return position >= 0 and bool(self._seen[granule >> 3] >> (granule & 7) & 1)
