"""Tells an object from words that only look like one: the collector knows an object, and keeps it in a list.

Memory of C code may begin with a small number and the address of a type. The state of the module ``_socket`` begins
with the addresses of two types (Modules/socketmodule.h), and a count of references may be as large as an address below
4 GB: a program that is not position-independent has its heap there.

The collector's header of an object (Include/internal/pycore_gc.h) has the next and the previous object of its list.
"""

from __future__ import annotations

import numpy as np

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.live import LOWEST, Live
from tracer.stacks.languages.cpython.heap.memory import Array, Memory
from tracer.stacks.languages.cpython.heap.roots import Roots
from tracer.stacks.languages.cpython.heap.steps import MOST_REFERENCES
from tracer.stacks.languages.cpython.heap.types import Kind, TypeInfo, Types

_FEW_REFERENCES, _IMMORTAL = 1 << 20, 1 << 31
_UNTRACKED = (Kind.DICT, Kind.TUPLE, Kind.FRAME)
"""The collector does not keep those that can be in no cycle, nor the object of a frame that still runs."""
_TRIES = 3


def is_counted(references: Array) -> Array:
    """Whether these may be counts of references to objects that live."""
    return (references > 0) & (references <= MOST_REFERENCES)


def is_doubtful(references: Array) -> Array:
    """Whether these counts may be addresses: no object but a type is often held by so many, and is not immortal."""
    return (references > _FEW_REFERENCES) & (references < _IMMORTAL)


def are_kept(memory: Memory, info: TypeInfo, objects: Array) -> Array:
    """Whether the collector keeps these objects of one type, which are at these positions of ``memory``.

    Raises TooLarge and OutOfTime.
    """
    if info.kind is Kind.TYPE or not info.collected:
        return np.full(len(objects), info.kind is Kind.TYPE)
    heads = np.maximum(objects - at.GC_HEADER, 0)
    following, inside = memory.locate(memory.take(heads) & ~np.uint64(at.GC_FLAGS))
    back, known = memory.locate(memory.take(following + 8) & ~np.uint64(at.GC_FLAGS))
    return inside & known & (back == heads)


class Known:
    """Raises nothing."""

    def __init__(self, live: Live, types: Types, roots: Roots) -> None:
        self._live, self._types, self._roots = live, types, roots

    def is_object(self, address: int, info: TypeInfo) -> bool:
        """Whether what is at ``address`` and has this type is an object, as far as the collector can tell."""
        if not info.collected or (info.kind is Kind.TYPE and not self._is_heap_type(address)):
            return True
        try:
            following = self._live.words(address - at.GC_HEADER, 1)[0] & ~at.GC_FLAGS
            if not following:
                return info.kind in _UNTRACKED
            return self.is_kept(address) and (not self._roots.collecting() or self._is_head(following))
        except MemoryUnreadable:
            return False

    def is_kept(self, address: int) -> bool:
        """Whether the collector keeps it in one of its lists. While it collects, that cannot be told: then True."""
        head, read = address - at.GC_HEADER, self._live.words
        for _ in range(_TRIES):  # its neighbours come and go, and a collection counts in these words
            try:
                following = read(head, 1)[0] & ~at.GC_FLAGS
                if read(following, 2)[1] & ~at.GC_FLAGS == head or self._roots.collecting():
                    return True
            except MemoryUnreadable:
                return False
        return False

    def _is_head(self, address: int) -> bool:
        """Whether there is a header with an object behind it: also true while the collector is at work."""
        info = self._types.of(address + at.GC_HEADER) if address > LOWEST else None
        return info is not None and info.collected

    def _is_heap_type(self, address: int) -> bool:
        info = self._types.at(address)
        return info is not None and info.heap
