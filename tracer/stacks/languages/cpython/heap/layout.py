"""Where CPython's objects have what leads to others: offsets in bytes, by minor version.

They are the same in all releases of a minor version that are built with the GIL and not for debugging.
Source: offsetof in Include/cpython/*.h, Include/internal/pycore_interp.h, pycore_frame.h, pycore_dict.h and
Modules/socketmodule.h of each version.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

# The same in all versions that are known here.
GC_HEADER, GC_FLAGS = 16, 3
"""Bytes of PyGC_Head, in front of each object: next and previous, whose two lowest bits are flags."""
REFERENCES, TYPE, SIZE = 0, 8, 16
TYPE_NAME, TYPE_BASIC, TYPE_ITEM, TYPE_FLAGS, TYPE_MEMBERS, TYPE_DICT, TYPE_DICT_OFFSET, TYPE_MRO = (
    24, 32, 40, 168, 240, 264, 288, 344,
)  # fmt: skip
TYPE_BYTES = 400
DICT_KEYS, DICT_VALUES, DICT_END = 32, 40, 48
KEYS_LOG, KEYS_KIND, KEYS_COUNT, KEYS_END = 9, 10, 24, 32
LIST_ITEMS, LIST_END = 24, 40
SET_MASK, SET_TABLE, SET_END = 32, 40, 200
DEQUE_SIZE, DEQUE_LEFT, DEQUE_INDEX, DEQUE_END, DEQUE_BLOCK = 16, 24, 40, 80, 64
FRAME_OF_OBJECT = 24
MODULE_DICT = 16
REFERENT = 16
"""Where a weak reference has its object."""
FUNCTION_CODE = 48


class Attributes(enum.Enum):
    """Where an object with a managed dict has its attributes.

    APART: a pointer to the values and one to the dict. TAGGED: one pointer, to the values if its lowest bit is set.
    INLINE: the values follow the object.
    """

    APART = "apart"
    TAGGED = "tagged"
    INLINE = "inline"


@dataclass(frozen=True)
class HeapLayout:
    """One minor version. ``modules``, ``generation0``, ``generations`` and ``collecting`` are in PyInterpreterState.

    ``generation0`` refers to the collector's first list; the lists are not at the same place in all releases of 3.13.
    Where it is 0, ``generations`` is the first list: a release of 3.14 may have no such pointer.

    ``thread_dict``, ``context`` and ``exception`` are in PyThreadState; ``locals``, ``stacktop`` and ``variables`` in a
    frame; ``variable_count``, ``stack_size`` and ``variable_names`` in a code object; ``cached_keys`` and ``qualname``
    in a heap type; ``frame`` and ``state`` in a generator. ``split_values``: where a dict's values begin.

    ``alive``: the states of a generator that has begun or may begin, and does not run: its frame has ``stacktop``
    values. Since 3.14 ``stacktop`` is a pointer behind the last one, and the lowest bit of a value in a frame tells
    that its reference is not counted (``tagged``, Include/internal/pycore_stackref.h).

    ``tasks`` are the lists of asyncio's tasks in PyInterpreterState and in PyThreadState, and ``task`` is the list's
    link in a task (Modules/_asynciomodule.c, its section .AsyncioDebug). None: asyncio has weak sets of them alone.

    ``told``: what the runtime's own table (_Py_DebugOffsets) has to say, by the number of the word.
    """

    modules: int
    collecting: int
    thread_dict: int
    context: int
    exception: int
    cached_keys: int
    qualname: int
    frame: int
    state: int
    variable_count: int
    stack_size: int
    variable_names: int
    attributes: Attributes
    split_values: int
    locals: int
    generation0: int = 0
    generations: int = 0
    tuple_items: int = 24
    stacktop: int = 64
    variables: int = 72
    tagged: bool = False
    alive: frozenset[int] = frozenset({0xFD, 0xFE, 0xFF})
    tasks: Optional[tuple[int, int]] = None
    task: int = 0
    told: Mapping[int, int] = field(default_factory=dict)

    def untagged(self, word: int) -> int:
        """The address that a word in a frame has. A number in place of an address gives none: it is odd by 2."""
        return word & ~1 if self.tagged else word


HEAP_LAYOUTS = {
    11: HeapLayout(
        modules=888, generation0=744, collecting=848, thread_dict=128, context=224, exception=120, cached_keys=872,
        qualname=864, frame=80, state=75, variable_count=76, stack_size=68, variable_names=96,
        attributes=Attributes.APART, split_values=0, locals=24,
    ),
    12: HeapLayout(
        modules=944, generation0=208, collecting=312, thread_dict=112, context=208, exception=104, cached_keys=880,
        qualname=872, frame=72, state=67, variable_count=72, stack_size=64, variable_names=96,
        attributes=Attributes.TAGGED, split_values=0, locals=40,
    ),
    13: HeapLayout(
        modules=7656, generation0=7496, collecting=7600, thread_dict=128, context=208, exception=120, cached_keys=880,
        qualname=872, frame=72, state=67, variable_count=72, stack_size=64, variable_names=96,
        attributes=Attributes.INLINE, split_values=8, locals=40,
    ),
    14: HeapLayout(
        modules=7688, generations=7432, collecting=7600, thread_dict=128, context=208, exception=120, cached_keys=880,
        qualname=872, frame=72, state=67, variable_count=72, stack_size=64, variable_names=96,
        attributes=Attributes.INLINE, split_values=8, locals=40, tuple_items=32, variables=80, tagged=True,
        tasks=(10880, 880), task=152,
        told={11: 7408, 12: 7688, 35: 80, 55: 168, 57: 32, 60: 24, 64: 40, 65: 32, 67: 32, 82: 192, 85: 72, 86: 67},
    ),
    15: HeapLayout(
        modules=7592, generations=7408, collecting=7512, thread_dict=152, context=232, exception=144, cached_keys=888,
        qualname=880, frame=72, state=67, variable_count=72, stack_size=64, variable_names=96,
        attributes=Attributes.INLINE, split_values=8, locals=40, tuple_items=32, variables=80, tagged=True,
        alive=frozenset({0, 1, 2, 3}), tasks=(10856, 1048), task=152,
        told={11: 7400, 12: 7592, 43: 80, 63: 168, 69: 32, 72: 24, 76: 40, 77: 32, 79: 32, 95: 112, 101: 72, 102: 67},
    ),
}  # fmt: skip
"""By minor version."""
