"""Single objects by address: their classes, and values of fields that rules and matching need."""

from __future__ import annotations

import codecs
from typing import Optional

from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.oops import HEADER_BYTES, Oops
from tracer.stacks.target.reader import Reader

_LONGEST_NAME = 200
_WIDE = codecs.lookup("utf-16-le")
"""Looked up here: a worker could not load it any more."""


class Objects:
    """Reads objects one by one. Methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader, oops: Oops, classes: Classes, names: FieldNames) -> None:
        self._reader, self.oops, self._classes, self._names = reader, oops, classes, names

    def class_at(self, address: int) -> Optional[Klass]:
        """The class of the object at ``address``; None if there is no object, or it has been moved."""
        if address % 8 or not address:
            return None
        return self._classes.by_number.get(self.oops.header_number(self._reader.read(address, HEADER_BYTES)))

    def reference(self, address: int, *names: str) -> int:
        """What the first of these fields of the object refers to; 0 if null or there is none of them."""
        offset = self._offset(address, names)
        if offset < 0:
            return 0
        value = self._reader.unsigned(address + offset, self.oops.size)
        return self.oops.address(value) if value else 0

    def number(self, address: int, *names: str, size: int = 4) -> Optional[int]:
        """The first of these fields of the object as a signed number of ``size`` bytes; None if it has none of them."""
        offset = self._offset(address, names)
        return self._reader.signed(address + offset, size) if offset >= 0 else None

    def is_a(self, address: int, *names: str) -> bool:
        """Whether the object at ``address`` is of a class, or of a subclass of one, that has one of these names."""
        klass = self.class_at(address)
        return klass is not None and self._classes.is_a(klass, *names)

    def elements(self, address: int, most: int) -> list[int]:
        """What the first elements of an array of references refer to, ``most`` at most; none for anything else."""
        klass = self.class_at(address)
        if klass is None or not klass.is_reference_array:
            return []
        count, size = min(self.array_length(address), most), self.oops.size
        raw = self._reader.read(address + klass.elements_at, count * size) if count else b""
        values = (int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size))
        return [self.oops.address(value) if value else 0 for value in values]

    def array_length(self, address: int) -> int:
        """The length of the array at ``address``."""
        return self._reader.unsigned(address + self.oops.length_at, 4)

    def text(self, address: int) -> str:
        """The text of a String or an array of chars, cut after 200 bytes; empty for anything else."""
        klass = self.class_at(address) if address else None
        if klass is not None and klass.name == "java.lang.String":
            wide = self.number(address, "coder", size=1)
            array = self.reference(address, "value")
            inner = self.class_at(array) if array else None
            if inner is None:
                return ""
            chars = inner.name == "[C"
            return self._chars(array, chars, chars or bool(wide))
        return self._chars(address, True, True) if klass is not None and klass.name == "[C" else ""

    def _chars(self, array: int, two_bytes: bool, wide: bool) -> str:
        size = min(self.array_length(array) * (2 if two_bytes else 1), _LONGEST_NAME)
        raw = self._reader.read(array + self._elements_at(array), size)
        return _WIDE.decode(raw, "replace")[0] if wide else raw.decode("latin-1")

    def _elements_at(self, array: int) -> int:
        klass = self.class_at(array)
        return klass.elements_at if klass is not None else 0

    def _offset(self, address: int, names: tuple[str, ...]) -> int:
        klass = self.class_at(address)
        return self._names.offset(klass, *names) if klass is not None else -1
