"""Finds where a C library keeps a thread's value for a key of pthread_getspecific(3)."""

from __future__ import annotations

from typing import NamedTuple, Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.reader import Reader

# glibc (nptl/descr.h): struct pthread begins at the thread pointer. specific_1stblock in it has 32 pairs of sequence
# number and value, further keys are in blocks that it points to. musl (src/internal/pthread_impl.h) points to an array.
_FIRST_BLOCK, _PAIR, _PAIRS = 0x310, 16, 32
_POINTERS = range(0, 0x900, 8)
"""Where in struct pthread to look for such a pointer: the places differ by version."""

_LOCALS = range(8, 0x400, 8)


class Slot(NamedTuple):
    """A place by its offset (bytes) from the thread pointer.

    If ``inner`` is not None, there is a pointer, and the place is so many bytes from where that leads.
    """

    offset: int
    inner: Optional[int] = None

    def packed(self) -> int:
        """As bpf/languages/cpython.bpf.c takes it."""
        return self.offset & 0xFFFFFFFF | (0 if self.inner is None else self.inner + 1) << 32


NOWHERE = Slot(0)
"""Has no thread's state: what the thread pointer points to is its own address."""


def find_slot(reader: Reader, thread: int, key: int, value: int) -> Optional[Slot]:
    """Where ``value`` is the thread's value for ``key``; None if it is nowhere. ``thread`` is its thread pointer."""
    in_pair = key % _PAIRS * _PAIR + 8
    direct = Slot(_FIRST_BLOCK + in_pair)
    if key < _PAIRS and _word(reader, thread + direct.offset) == value:
        return direct
    for offset in _POINTERS:
        pointer = _word(reader, thread + offset)
        for inner in (in_pair, key * 8) if pointer else ():
            if _word(reader, pointer + inner) == value:
                return Slot(offset, inner)
    return None


def find_local(reader: Reader, thread: int, value: int) -> Optional[Slot]:
    """Where a variable of the thread's own has ``value``; None if none or several have. ``thread``: as above.

    Those of the program and of what it was linked with lie right below the thread pointer (ELF TLS, variant II).
    """
    places = [-offset for offset in _LOCALS if _word(reader, thread - offset) == value]
    return Slot(places[0]) if len(places) == 1 else None


def _word(reader: Reader, address: int) -> int:
    """The word at ``address``; 0 if it cannot be read."""
    try:
        return reader.pointer(address)
    except MemoryUnreadable:
        return 0
