"""Reads V8's heap: tagged pointers, small integers, strings and arrays, each checked by the type in its map.

Without pointer compression, as Node.js is built: a word with the low bits 01 is a pointer to an object, plus 1. One
with the low bit 0 is a small integer, in the upper half (include/v8-internal.h). The collector moves and frees objects
while this reads: what is read may be half of one object and half of another. So all of it is checked.
"""

from __future__ import annotations

import struct
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.reader import Nonsense, Reader

INSTANCE_TYPE, _LENGTH, _CHARS, _FIRST, _SECOND = 12, 12, 16, 16, 24
_SEQUENTIAL, _CONS, _EXTERNAL, _SLICED, _THIN = 0, 1, 2, 3, 5
_ONE_BYTE, _UNCACHED = 8, 16
FIRST_NONSTRING = 128
_MAX_DEPTH, _MAX_PARTS = 64, 4096
_MAX_ITEMS = 1 << 16
MAX_NAME = 4096
"""Characters of a name or a path."""


def is_pointer(word: int) -> bool:
    """Whether ``word`` is a strong pointer to a heap object."""
    return word & 3 == 1 and word > 4096


def smi(word: int) -> int:
    """The small integer ``word``, signed. Raises Nonsense."""
    if word & 0xFFFFFFFF:
        raise Nonsense("no small integer where one must be")
    value = word >> 32
    return value - (1 << 32) if value >= 1 << 31 else value


class Heap:
    """The heaps of all isolates of one process. All methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def word(self, pointer: int, offset: int) -> int:
        """The word ``offset`` bytes into the object that the tagged ``pointer`` names."""
        return self._reader.pointer(_address(pointer) + offset)

    def read(self, pointer: int, offset: int, size: int) -> bytes:
        """``size`` bytes of an object."""
        return self._reader.read(_address(pointer) + offset, size)

    def type_of(self, pointer: int) -> int:
        """The object's instance type."""
        found = self._reader.pointer(_address(pointer))
        return self._reader.unsigned(_address(found) + INSTANCE_TYPE, 2)

    def type_or_none(self, word: int) -> Optional[int]:
        """The instance type of what ``word`` points to; None if that is no object, or cannot be read."""
        try:
            return self.type_of(word)
        except (MemoryUnreadable, Nonsense):
            return None

    def words(self, pointer: int, types: tuple[int, ...]) -> tuple[int, ...]:
        """The items of a FixedArray, whose type is one of ``types``."""
        count = self._length(pointer, types)
        return struct.unpack(f"<{count}Q", self.read(pointer, 16, 8 * count))

    def bytes_of(self, pointer: int, types: tuple[int, ...]) -> bytes:
        """The contents of a ByteArray, whose type is one of ``types``."""
        return self.read(pointer, 16, self._length(pointer, types, 8))

    def _length(self, pointer: int, types: tuple[int, ...], more: int = 1) -> int:
        if self.type_of(pointer) not in types:
            raise Nonsense("no array where one must be")
        length = smi(self.word(pointer, 8))
        if not 0 <= length <= _MAX_ITEMS * more:
            raise Nonsense(f"an array of {length} items")
        return length

    def string(self, pointer: int, limit: int = MAX_NAME) -> str:
        """A string of any kind with at most ``limit`` characters: UTF-16 code units, one for each character here."""
        return _Strings(self._reader, limit).read(pointer)


class _Strings:
    """Reads one string with its parts."""

    def __init__(self, reader: Reader, limit: int) -> None:
        self._reader, self._limit = reader, limit
        self._parts = 0

    def read(self, pointer: int) -> str:
        length, _ = self._head(pointer)
        if length > self._limit:
            raise Nonsense(f"a string of {length} characters")
        return self._text(pointer, 0)

    def _head(self, pointer: int) -> tuple[int, int]:
        """Length in code units, and type."""
        address = _address(pointer)
        kind = self._reader.unsigned(_address(self._reader.pointer(address)) + INSTANCE_TYPE, 2)
        length = self._reader.signed(address + _LENGTH, 4)
        if kind >= FIRST_NONSTRING or length < 0:
            raise Nonsense("no string where one must be")
        return length, kind

    def _text(self, pointer: int, depth: int) -> str:
        length, kind = self._head(pointer)
        self._parts += 1
        if length > self._limit or depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            raise Nonsense("a string of too many parts")
        form, address = kind & 7, _address(pointer)
        if form == _SEQUENTIAL:
            return self._characters(address + _CHARS, length, kind)
        if form == _EXTERNAL and not kind & _UNCACHED:
            return self._characters(self._reader.pointer(address + _SECOND), length, kind)
        if form == _THIN:
            return self._exactly(self._text(self._reader.pointer(address + _FIRST), depth + 1), length)
        if form == _SLICED:
            return self._slice(address, length, depth)
        if form == _CONS:
            ends = (self._reader.pointer(address + offset) for offset in (_FIRST, _SECOND))
            return self._exactly("".join([self._text(end, depth + 1) for end in ends]), length)
        raise Nonsense("a string whose characters cannot be read")

    def _slice(self, address: int, length: int, depth: int) -> str:
        parent, start = self._reader.pointer(address + _FIRST), smi(self._reader.pointer(address + _SECOND))
        whole, kind = self._head(parent)
        if not 0 <= start <= whole - length:
            raise Nonsense("a part that lies outside its string")
        if kind & 7 == _SEQUENTIAL:
            size = 1 if kind & _ONE_BYTE else 2
            return self._characters(_address(parent) + _CHARS + start * size, length, kind)
        return self._text(parent, depth + 1)[start : start + length]

    def _characters(self, address: int, length: int, kind: int) -> str:
        if kind & _ONE_BYTE:
            return self._reader.read(address, length).decode("latin-1")
        units = struct.unpack(f"<{length}H", self._reader.read(address, 2 * length))
        return "".join(map(chr, units))

    @staticmethod
    def _exactly(text: str, length: int) -> str:
        if len(text) != length:
            raise Nonsense("a string that is not as long as it says")
        return text


def _address(pointer: int) -> int:
    if not is_pointer(pointer):
        raise Nonsense("no object where one must be")
    return pointer - 1
