"""Reads ConstMethod's compressed line numbers (src/hotspot/share/oops/method.cpp, CompressedLineNumberReadStream)."""

from __future__ import annotations

from typing import Optional

from tracer.stacks.languages.java.unsigned5 import Unsigned5
from tracer.stacks.target.reader import Nonsense

_END, _ESCAPE = 0, 0xFF
_MAX_PAIRS = 65536
_MAX_LINE = 65535

LineTable = tuple[tuple[int, int], ...]
"""(bci, line) pairs in the order of the class file."""


def decode_lines(data: bytes, code_size: int, biased: bool) -> LineTable:
    """Decode the table at the start of ``data``. The method has ``code_size`` bytes of bytecode. Raises Nonsense."""
    try:
        return _decode(data, code_size, biased)
    except Nonsense:
        # Only JDK 20 has the new number format with the old layout.
        return _decode(data, code_size, not biased)


def line_of(table: LineTable, bci: int) -> Optional[int]:
    """The line of the last entry at or before ``bci``, like Method::line_number_from_bci; None if there is none."""
    best: Optional[tuple[int, int]] = None
    for pair in table:
        if pair[0] == bci:
            return pair[1]
        if pair[0] < bci and (best is None or pair[0] >= best[0]):
            best = pair
    return best[1] if best else None


def _decode(data: bytes, code_size: int, biased: bool) -> LineTable:
    stream = Unsigned5(data, biased)
    pairs: list[tuple[int, int]] = []
    bci = line = 0
    for _ in range(_MAX_PAIRS):
        byte = stream.byte()
        if byte == _END:
            return tuple(pairs)
        if byte == _ESCAPE:
            bci += stream.signed()
            line += stream.signed()
        else:
            bci += byte >> 3
            line += byte & 7
        if not 0 <= bci <= code_size or not 0 <= line <= _MAX_LINE:
            raise Nonsense("a line number table is out of range")
        pairs.append((bci, line))
    raise Nonsense("a line number table does not end")
