"""Reads Ruby's own objects out of a process: strings, arrays, symbols. Each is checked for its type."""

from __future__ import annotations

from typing import Optional

from tracer.stacks.languages.ruby import layouts as at
from tracer.stacks.languages.ruby.layouts import Layout
from tracer.stacks.target.reader import Nonsense, Reader

_TYPE_MASK, _STRING, _ARRAY, _IMEMO = 0x1F, 5, 7, 26
_IMEMO_SHIFT, _IMEMO_MASK, METHOD_ENTRY, ISEQ = 12, 0xF, 6, 7
_NOT_EMBEDDED = _ARRAY_EMBEDDED = 1 << 13
_ARRAY_LENGTH_SHIFT, _ARRAY_LENGTH_MASK = 15, 0x7F
_STRING_LENGTH_MASK = 0x1F
_LONGEST_TEXT, _LONGEST_ARRAY = 1024, 1 << 16
_NIL = (4, 8)
"""nil, by version."""


class Values:
    """The objects of one process. All methods raise Nonsense and MemoryUnreadable."""

    def __init__(self, reader: Reader, layout: Layout) -> None:
        self.reader, self._layout = reader, layout

    def flags(self, value: int, kind: int) -> int:
        """The flags of the object ``value``, which must be of this type (enum ruby_value_type)."""
        if not value or value % 8 or value in _NIL:
            raise Nonsense(f"{value:#x} is no object")
        flags = self.reader.pointer(value)
        if flags & _TYPE_MASK != kind:
            raise Nonsense(f"the object at {value:#x} has another type")
        return flags

    def internal(self, value: int, kind: int) -> int:
        """The flags of the VM's own object ``value``, which must be of this kind (enum imemo_type)."""
        flags = self.flags(value, _IMEMO)
        if flags >> _IMEMO_SHIFT & _IMEMO_MASK != kind:
            raise Nonsense(f"the object at {value:#x} is of another kind")
        return flags

    def string(self, value: int) -> str:
        """The text of a String."""
        flags, layout = self.flags(value, _STRING), self._layout
        if flags & _NOT_EMBEDDED:
            length = self.reader.pointer(value + at.STRING_LENGTH)
            place = self.reader.pointer(value + at.STRING_POINTER)
        elif layout.embedded_length is None:
            length, place = self.reader.pointer(value + at.STRING_LENGTH), value + layout.embedded
        else:
            length, place = flags >> layout.embedded_length & _STRING_LENGTH_MASK, value + layout.embedded
        if length > _LONGEST_TEXT:
            raise Nonsense(f"the string at {value:#x} is too long")
        return self.reader.read(place, length).decode("utf-8", "replace")

    def element(self, value: int, index: int) -> int:
        """The element of an Array."""
        flags = self.flags(value, _ARRAY)
        if flags & _ARRAY_EMBEDDED:
            length, place = flags >> _ARRAY_LENGTH_SHIFT & _ARRAY_LENGTH_MASK, value + at.ARRAY_EMBEDDED
        else:
            length = self.reader.pointer(value + at.ARRAY_LENGTH)
            place = self.reader.pointer(value + at.ARRAY_POINTER)
        if not 0 <= index < length or length > _LONGEST_ARRAY:
            raise Nonsense(f"the array at {value:#x} has no such element")
        return self.reader.pointer(place + 8 * index)

    def path(self, value: int) -> str:
        """The path of a source file: a String, or an Array of it and its real path."""
        return self.string(value if self.reader.pointer(value) & _TYPE_MASK == _STRING else self.element(value, 0))

    def symbol(self, number: int, symbols: Optional[int]) -> str:
        """The text of the symbol with this ID. ``symbols`` is the address of the table of symbols."""
        if symbols is None:
            raise Nonsense("the table of symbols was not found")
        if number > at.LAST_OPERATOR:
            number >>= at.SCOPE_SHIFT
        if not 0 < number <= self.reader.unsigned(symbols + at.SYMBOLS_COUNT, 4):
            raise Nonsense("there is no such symbol")
        block = self.element(self.reader.pointer(symbols + at.SYMBOLS_NAMES), number // at.SYMBOLS_IN_BLOCK)
        return self.string(self.element(block, number % at.SYMBOLS_IN_BLOCK * at.WORDS_OF_SYMBOL))
