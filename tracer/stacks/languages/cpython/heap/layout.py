"""Where CPython's objects have what leads to others: offsets in bytes, by minor version.

They are the same in all releases of a minor version that are built with the GIL and not for debugging.
Source: offsetof in Include/cpython/*.h, Include/internal/pycore_interp.h, pycore_frame.h, pycore_dict.h and
Modules/socketmodule.h of each version.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

# The same in all versions that are known here.
REFERENCES, TYPE, SIZE = 0, 8, 16
TYPE_NAME, TYPE_BASIC, TYPE_ITEM, TYPE_FLAGS, TYPE_MEMBERS, TYPE_DICT, TYPE_DICT_OFFSET, TYPE_MRO = (
    24, 32, 40, 168, 240, 264, 288, 344,
)  # fmt: skip
TYPE_BYTES = 400
DICT_KEYS, DICT_VALUES, DICT_END = 32, 40, 48
KEYS_LOG, KEYS_KIND, KEYS_COUNT, KEYS_END = 9, 10, 24, 32
LIST_ITEMS, LIST_END = 24, 40
TUPLE_ITEMS = 24
SET_MASK, SET_TABLE, SET_END = 32, 40, 200
DEQUE_SIZE, DEQUE_LEFT, DEQUE_INDEX, DEQUE_END, DEQUE_BLOCK = 16, 24, 40, 80, 64
FRAME_OF_OBJECT = 24
MODULE_DICT = 16
REFERENT = 16
"""Where a weak reference has its object."""
SOCKET_FD, SOCKET_FAMILY, SOCKET_KIND = 16, 20, 24
FUNCTION_CODE = 48
FUNCTION_CLOSURE = 72


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
    """One minor version. ``modules``, ``generation0`` and ``collecting`` are in PyInterpreterState.

    ``generation0`` refers to the collector's first list; the lists are not at the same place in all releases of 3.13.

    ``thread_dict``, ``context`` and ``exception`` are in PyThreadState; ``locals``, ``stacktop`` and ``variables`` in a
    frame; ``variable_count``, ``stack_size`` and ``variable_names`` in a code object; ``cached_keys`` and ``qualname``
    in a heap type; ``frame`` and ``state`` in a generator. ``split_values``: where a dict's values begin.
    """

    modules: int
    generation0: int
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
    stacktop: int = 64
    variables: int = 72


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
}  # fmt: skip
"""By minor version."""
ALIVE = frozenset({0xFD, 0xFE, 0xFF})
"""States of a generator that has begun or may begin, and does not run: its frame has ``stacktop`` values."""
