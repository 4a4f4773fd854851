"""Looks for objects on the stacks of threads: the last resort, for a slot may be left over from earlier calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.roots import JavaThread

_MOST_OF_ONE, _MOST_OF_ALL = 1 << 20, 128 << 20


def slots(memory: Memory, threads: Iterable[JavaThread], addresses: Any) -> dict[int, tuple[int, JavaThread]]:
    """For each of the sorted ``addresses`` that some stack has: where, and whose.

    Only full addresses count: the short form of a reference is soon mistaken for a number.
    """
    found: dict[int, tuple[int, JavaThread]] = {}
    left = _MOST_OF_ALL
    for thread in threads:
        size = thread.high - thread.low
        if size <= 0:
            continue
        size = min(_MOST_OF_ONE, left, size)
        left -= size
        memory.check()
        begin = thread.high - size
        words = memory.array(begin, size // 8, np.dtype(np.uint64))
        places: Any = np.searchsorted(addresses, words)
        places[places == len(addresses)] = 0
        for at in np.flatnonzero(addresses[places] == words).tolist():
            found.setdefault(int(words[at]), (begin + 8 * at, thread))
    return found
