"""Does nothing at all refer to a socket's object? Asked once no holder was found, and answered only if that is certain.

From all that the collector takes for a root, every reference is followed that the collector counts: also those that
tell nobody anything (code, class loaders, cleaners). Stacks are taken word by word, so that a number that looks like a
reference counts as one. Whatever could not be read, or was too much, makes the answer uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.heap.content import Array
from tracer.stacks.languages.java.heap.memory import OutOfTime
from tracer.stacks.languages.java.heap.opened import Heap
from tracer.stacks.languages.java.heap.parked import Parked
from tracer.stacks.languages.java.heap.reach import Reach
from tracer.stacks.languages.java.heap.resting import Resting
from tracer.stacks.languages.java.heap.roots import JavaThread
from tracer.stacks.languages.java.heap.words import Words
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.target.reader import Nonsense


def unreferenced(
    heap: Heap, reach: Reach, words: Words, parked: Parked, threads: Sequence[JavaThread], owners: Sequence[int]
) -> frozenset[int]:
    """Those of the socket objects at ``owners`` to which certainly nothing refers. Nothing is raised."""
    try:
        with heap.memory.half():
            if not _all_followed(heap, reach, words, parked, threads):
                return frozenset()
    except (OutOfTime, MissingTables, MemoryUnreadable, Nonsense):
        return frozenset()
    stored = heap.content.encoded(np.array(owners, dtype=np.uint64))
    return frozenset(owner for owner, held in zip(owners, reach.reached(stored).tolist()) if not held)


def _all_followed(heap: Heap, reach: Reach, words: Words, parked: Parked, threads: Sequence[JavaThread]) -> bool:
    def follow(addresses: Array) -> None:
        reach.all(heap.content.encoded(addresses))

    constants = np.unique(np.array(list(heap.roots.constants()), dtype=np.uint64))
    follow(constants[constants != 0])
    resting = Resting(heap.vm, heap.memory, heap.roots, threads)
    for some in resting.rounds():
        follow(words.objects(some))
    while True:
        inside = parked.words(reach)
        if inside is None:
            return False
        if not len(inside):
            break
        follow(words.objects(inside))
    return resting.all_seen and reach.complete and heap.roots.complete and heap.classes.all_known()
