"""V8's tables of source positions and of bytecode offsets (src/codegen/source-position-table.h, src/baseline).

Pure: bytes in, numbers out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional

from tracer.stacks.target.reader import Nonsense

_INLINING_SHIFT, _POSITION_MASK, _INLINING_MASK = 31, (1 << 30) - 1, 0xFFFF


class Position(NamedTuple):
    """A place in a script's source: characters from its start. ``inlined``: which inlining (from 1 on), 0 none."""

    offset: int
    inlined: int


def unpack(word: int) -> Position:
    """A SourcePosition: its lowest bit says whether it lies outside of a script, whose offsets then mean nothing."""
    return Position(
        ((word >> 1) & _POSITION_MASK) - 1 if not word & 1 else -1, word >> _INLINING_SHIFT & _INLINING_MASK
    )


def position_at(table: bytes, offset: int) -> Optional[Position]:
    """The last position at or before ``offset`` (bytes into the code); None if there is none. Raises Nonsense."""
    found: Optional[int] = None
    for code, source in _entries(table):
        if code > offset:
            break
        found = source
    return unpack(found) if found is not None else None


def has_position_at(table: bytes, offset: int) -> bool:
    """Whether exactly at ``offset`` something has a position, as each call has. Raises Nonsense."""
    return any(code == offset for code, _ in _entries(table))


def _entries(table: bytes) -> Iterator[tuple[int, int]]:
    """Offsets into the code, ascending, with packed positions."""
    code, source = -1, 0
    numbers = _numbers(table)
    for step in numbers:
        more = _signed(step)
        code += more if more >= 0 else -(more + 1)
        source += _signed(next(numbers, 0))
        yield code, source


def bytecode_offset_at(table: bytes, offset: int, bytecodes: bytes, sizes: bytes) -> Optional[int]:
    """The offset of the bytecode whose baseline code contains ``offset``; None if the table ends before it.

    ``table`` has how many bytes of code there are before the first bytecode, and those of each. ``sizes``: of each
    bytecode, with its operands, for the three operand scales one after the other.
    """
    count = len(sizes) // 3
    at, end, numbers = 0, 0, _numbers(table)
    end += next(numbers, 0)
    for size in numbers:
        end += size
        if at >= len(bytecodes):
            raise Nonsense("a table for more bytecodes than there are")
        if offset < end:
            return at
        at += _size_at(bytecodes, at, sizes, count)
    return None


def _size_at(bytecodes: bytes, at: int, sizes: bytes, count: int) -> int:
    """How long the bytecode is. The first ones of all are prefixes (Wide, ExtraWide): the next has larger operands."""
    code, scale, prefix = bytecodes[at], 0, 0
    if code in (0, 1, 2, 3):
        scale, prefix = 1 + code % 2, 1
        code = bytecodes[at + 1] if at + 1 < len(bytecodes) else count
    if code >= count or not sizes[scale * count + code]:
        raise Nonsense(f"there is no bytecode {code}")
    return prefix + sizes[scale * count + code]


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)


def _numbers(table: bytes) -> Iterator[int]:
    """Numbers of seven bits a byte, the lowest first."""
    value = shift = 0
    for byte in table:
        value |= (byte & 127) << shift
        if byte & 128:
            shift += 7
            if shift > 63:
                raise Nonsense("a number that is too long")
        else:
            yield value
            value = shift = 0
