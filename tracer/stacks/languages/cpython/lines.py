"""Finds the line of an instruction in a code object's table, as CPython itself does for a traceback.

The forms: co_lnotab of 3.8 and 3.9 (Objects/lnotab_notes.txt there), co_linetable of 3.10 (the same file of 3.10), and
co_linetable since 3.11 (Objects/locations.md there, InternalDocs/code_objects.md later).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, Optional

Finder = Callable[[bytes, int, int], Optional[int]]
"""Table, first line of the function, instruction (in bytes from the first one) to line; None if it has no line."""

_NO_LINE = -128
_LONGEST_NUMBER = 36
_NONE, _LONG, _NO_COLUMNS, _ONE_LINE = 15, 14, 13, 10


def by_lnotab(table: bytes, line: int, instruction: int) -> Optional[int]:
    """Pairs of steps: bytes of instructions, and lines (signed) that begin after them."""
    address = 0
    for step, lines in zip(table[::2], table[1::2]):
        address += step
        if address > instruction:
            break
        line += _signed(lines)
    return line


def by_ranges(table: bytes, line: int, instruction: int) -> Optional[int]:
    """Pairs: how many bytes of instructions, and how many lines (signed) they are further down. -128: no line."""
    end = 0
    for size, lines in zip(table[::2], table[1::2]):
        end += size
        has_line = _signed(lines) != _NO_LINE
        if has_line:
            line += _signed(lines)
        if instruction < end:
            return line if has_line else None
    return None


def by_locations(table: bytes, line: int, instruction: int) -> Optional[int]:
    """Entries: a byte with the top bit set, a kind and how many units of two bytes, then what the kind has."""
    end, rest = 0, iter(table)
    for head in rest:
        kind, units = head >> 3 & 15, (head & 7) + 1
        try:
            line += _lines_further(kind, rest)
        except StopIteration:
            return None
        end += 2 * units
        if instruction < end:
            return None if kind == _NONE else line
    return None


def _lines_further(kind: int, rest: Iterator[int]) -> int:
    """Take one entry's bytes from ``rest``. Raises StopIteration where the table ends, or is none."""
    if kind == _NONE:
        return 0
    if kind == _LONG:
        lines = _signed_varint(rest)
        for _ in range(3):  # the last line and both columns
            _varint(rest)
        return lines
    if kind == _NO_COLUMNS:
        return _signed_varint(rest)
    next(rest)
    if kind < _ONE_LINE:
        return 0
    next(rest)
    return kind - _ONE_LINE


def _varint(rest: Iterator[int]) -> int:
    value = 0
    for shift in range(0, _LONGEST_NUMBER, 6):
        byte = next(rest)
        value |= (byte & 63) << shift
        if not byte & 64:
            return value
    raise StopIteration


def _signed_varint(rest: Iterator[int]) -> int:
    value = _varint(rest)
    return -(value >> 1) if value & 1 else value >> 1


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte
