"""The stacks of virtual threads that are parked: copies of frames in the heap, in objects of their own.

Sources: oops/stackChunkOop.hpp, instanceStackChunkKlass.hpp. Frames lie in the words from ``sp`` to ``size`` behind the
fields of a jdk.internal.vm.StackChunk. Which of the words are references is told by code, not by the chunk: so a word
that is an object's address, or half a word that is a short reference, may be left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from tracer.stacks.languages.java.heap.content import Array, Content
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.objects import Objects
from tracer.stacks.languages.java.heap.reach import Reach
from tracer.stacks.languages.java.heap.scan import Noted
from tracer.stacks.languages.java.heap.words import Words

CHUNK = "jdk.internal.vm.StackChunk"
_MOST_WORDS, _MOST_CHUNKS = 1 << 20, 50_000
_MOST_PARENTS = 10_000


@dataclass(frozen=True)
class ParkedSlot:
    """A word (or half of one) at ``address``, ``size`` bytes long, in the stack of the chunk at ``chunk``."""

    address: int
    size: int
    chunk: int


class Parked:
    """Reads chunks. Methods raise MemoryUnreadable, Nonsense and OutOfTime."""

    def __init__(self, memory: Memory, content: Content, objects: Objects, noted: Noted) -> None:
        self._memory, self._content, self._objects = memory, content, objects
        self.classes = [place for place, klass in enumerate(content.classes) if klass.name == CHUNK]
        self._noted = np.unique(noted.parents[np.isin(noted.indices, self.classes)])
        self._begin = content.classes[self.classes[0]].size if self.classes else 0
        self._done: set[int] = set()

    def words(self, reach: Reach) -> Optional[Array]:
        """All words of the frames of chunks that were reached since the last call; None if not all can be read."""
        found = []
        for chunk in self.chunks(reach):
            if chunk in self._done:
                continue
            self._done.add(chunk)
            _, words = self.frames(chunk)
            if words is None or len(self._done) > _MOST_CHUNKS:
                return None
            found.append(words)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)

    def chunks(self, reach: Reach) -> list[int]:
        """The addresses of the chunks that were reached."""
        some = np.unique(np.concatenate([self._noted[reach.reached(self._noted)], reach.met()]))
        found: list[int] = self._content.decoded(some).tolist()
        return found

    def frames(self, chunk: int) -> tuple[int, Optional[Array]]:
        """Where the frames of a chunk begin, and their words; None if they cannot be read."""
        size, top = self._objects.number(chunk, "size"), self._objects.number(chunk, "sp")
        if size is None or top is None or not 0 <= top <= size <= _MOST_WORDS:
            return 0, None
        begin = chunk + self._begin + 8 * top
        words = self._memory.array(begin, size - top, np.dtype(np.uint64))
        return begin, words if len(words) == size - top else None

    def slots(self, chunks: Sequence[int], words: Words) -> Iterator[tuple[int, int, ParkedSlot]]:
        """The objects that words of the chunks' frames may refer to: address, index of the class, and place."""
        frames = [(chunk, *self.frames(chunk)) for chunk in chunks]
        whole = [(chunk, begin, found) for chunk, begin, found in frames if found is not None and len(found)]
        if not whole:
            return
        ends = np.cumsum([len(found) for _, _, found in whole])
        for addresses, size in zip(words.addresses(np.concatenate([found for _, _, found in whole])), (8, 4)):
            objects, first = np.unique(addresses, return_index=True)
            indices = words.classes(objects)
            keep = (objects != 0) & (indices > 0)
            for address, index, at in zip(objects[keep].tolist(), indices[keep].tolist(), first[keep].tolist()):
                word = at * size // 8
                which = int(np.searchsorted(ends, word, "right"))
                chunk, begin, found = whole[which]
                before = int(ends[which]) - len(found)
                yield address, index, ParkedSlot(begin + size * at - 8 * before, size, chunk)

    def holds(self, slot: ParkedSlot, thread: int, address: int) -> bool:
        """Whether the slot still refers to ``address``, is in a frame, and its chunk is one of the virtual thread's."""
        top = self._objects.number(slot.chunk, "sp")
        if top is None or slot.address < slot.chunk + self._begin + 8 * top:
            return False
        word = self._memory.array(slot.address, 1, np.dtype(np.uint64 if slot.size == 8 else np.uint32))
        if not len(word) or int(word[0]) != (address if slot.size == 8 else self._objects.oops.reference(address)):
            return False
        chunk = self._objects.reference(self._objects.reference(thread, "cont"), "tail")
        for _ in range(_MOST_PARENTS):
            if chunk in (0, slot.chunk):
                break
            chunk = self._objects.reference(chunk, "parent")
        return chunk == slot.chunk
