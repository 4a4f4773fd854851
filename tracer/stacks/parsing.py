"""What is being parsed at this moment, for whoever watches from outside: a number and a part in a shared page.

If this process dies or takes too long, the number says which file (or process) was to blame.
"""

from __future__ import annotations

import enum
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Union

_PLACE = struct.Struct("<II")
_page: Union[bytearray, mmap.mmap] = bytearray(_PLACE.size)


class Part(enum.IntEnum):
    """What is parsed of a file; RUNTIME is what a language reads of a process."""

    NONE = 0
    OPENING = 1
    UNWIND = 2
    SYMBOLS = 3
    SOURCE = 4
    TABLE = 5
    DEBUG_FILE = 6
    RUNTIME = 7


def share(page: mmap.mmap) -> None:
    """Write to ``page`` from now on."""
    global _page
    _page = page


def look(page: mmap.mmap) -> tuple[int, int]:
    """What the page says, in the process that watches: a number and a part, both perhaps nonsense."""
    number, part = _PLACE.unpack_from(page)
    return number, part


@contextmanager
def parsing(number: int, part: Part) -> Iterator[None]:
    """Say that this ``part`` of what has this ``number`` is parsed.

    A MemoryError ends a worker: what it was at stays said.
    """
    before = _PLACE.unpack_from(_page)
    _PLACE.pack_into(_page, 0, number, part)
    try:
        yield
    except MemoryError:
        raise
    except BaseException:
        _PLACE.pack_into(_page, 0, *before)
        raise
    _PLACE.pack_into(_page, 0, *before)
