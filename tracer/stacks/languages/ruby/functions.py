"""Which machine code is one function: from .eh_frame_hdr, since the file may have no symbols (LSB Core, 10.6)."""

from __future__ import annotations

import struct
from bisect import bisect_right

from tracer.stacks.target.reader import Nonsense, Reader

_HEAD = struct.Struct("<BBBBiI")
_ENCODINGS = (1, 0x1B, 0x03, 0x3B)
"""Version 1; pointer, count and table as the linkers of GNU and LLVM write them."""
_ENTRY_BYTES = 8
_MOST_BYTES = 8 << 20


def function_around(reader: Reader, table: tuple[int, int], address: int) -> tuple[int, int]:
    """The code, [start, end), of the function with the code at ``address``; the end is where the next one starts.

    ``table`` is the address and the size (bytes) of .eh_frame_hdr. Raises Nonsense, MemoryUnreadable.
    """
    base, size = table
    *encodings, _, count = _HEAD.unpack(reader.read(base, _HEAD.size))
    if tuple(encodings) != _ENCODINGS or not 0 < count * _ENTRY_BYTES <= min(size, _MOST_BYTES):
        raise Nonsense("the table of functions is not intact")
    data = reader.read(base + _HEAD.size, count * _ENTRY_BYTES)
    starts = [base + start for start, _ in struct.iter_unpack("<ii", data)]
    index = bisect_right(starts, address)
    if not 0 < index < len(starts):
        raise Nonsense("the code is in no function of the file")
    return starts[index - 1], starts[index]
