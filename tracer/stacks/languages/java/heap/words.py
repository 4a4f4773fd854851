"""Which of some words may refer to objects: whole addresses, and both halves of each as short references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracer.stacks.languages.java.heap.content import Array, Content
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.spaces import Space


class Words:
    """Tells words that refer to objects from numbers, by whether a known class is where an object has it."""

    def __init__(self, memory: Memory, content: Content, spaces: Sequence[Space]) -> None:
        self._memory, self._content = memory, content
        self._bottoms = np.array([space.bottom for space in spaces], dtype=np.uint64)
        self._tops = np.array([space.top for space in spaces], dtype=np.uint64)
        order = np.argsort(self._bottoms)
        self._bottoms, self._tops = self._bottoms[order], self._tops[order]

    def addresses(self, words: Array) -> tuple[Array, Array]:
        """What the words (of 64 bits) refer to if they are whole addresses; and each half if that is a reference.

        Both are as long as what they are made of; 0 where it does not lie in the heap.
        """
        short = np.zeros(0, dtype=np.uint64)
        if self._content.oops.size == 4:
            halves = words.view(np.uint32)
            short = np.where(halves != 0, self._content.decoded(halves), np.uint64(0))
        return self._in_heap(words), self._in_heap(short)

    def objects(self, words: Array) -> Array:
        """The addresses, sorted, of the objects that these words may refer to."""
        whole, short = self.addresses(words)
        found = np.unique(np.concatenate([whole, short]))
        found = found[found != 0]
        return found[self.classes(found) > 0]

    def classes(self, addresses: Array) -> Array:
        """The indices of the classes of the objects at the sorted addresses; 0 where there is none."""
        found = np.zeros(len(addresses), dtype=np.int32)
        for which, buffer, positions in self._memory.blocks(addresses):
            found[which] = self._content.at(buffer, positions)
        return found

    def _in_heap(self, addresses: Array) -> Array:
        at: Array = np.searchsorted(self._bottoms, addresses, "right") - 1
        inside = (at >= 0) & (addresses & np.uint64(7) == 0)
        inside &= addresses < self._tops[np.maximum(at, 0)]
        return np.where(inside, addresses, np.uint64(0))
