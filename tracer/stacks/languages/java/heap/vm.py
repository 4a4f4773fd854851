"""A running HotSpot as the heap's readers see it: its tables by name, its flags, and integers at addresses."""

from __future__ import annotations

import re
import struct
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.languages.java.tables import Field, read_tables
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.reader import Nonsense, Reader, Source

_FLAG = re.compile(r"Use\w+GC|UseCompressed\w+|UseCompactObjectHeaders")
_MAX_FLAGS = 5000


class NoHeap(Exception):
    """This heap is not read; the text says why in words for the user."""


class Vm:
    """The tables of one JVM. Methods raise MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, source: Source, libjvm_start: int) -> None:
        self.reader = Reader(source)
        libjvm = LoadedObject(self.reader, libjvm_start)
        tables = read_tables(self.reader, libjvm)
        if tables is None:
            raise NoHeap("this JVM is not HotSpot")
        self._tables, self._bias = tables, libjvm.bias

    def maybe(self, *names: str) -> Optional[Field]:
        """The first of these fields (``Type.field``) that there is."""
        for name in names:
            owner, _, member = name.partition(".")
            found = self._tables.fields.get((owner, member))
            if found is not None:
                return found
        return None

    def field(self, *names: str) -> Field:
        """The first of these fields that there is; raises MissingTables if there is none."""
        found = self.maybe(*names)
        if found is None:
            raise MissingTables(names[0])
        return found

    def offset(self, *names: str) -> int:
        """The offset of the first of these fields in its struct, in bytes."""
        return self.field(*names).offset

    def static(self, *names: str) -> int:
        """The address of the first of these static fields."""
        found = self.field(*names)
        if found.address is None:
            raise MissingTables(names[0])
        return found.address + self._bias

    def size(self, name: str) -> int:
        """The size of a struct in bytes; 0 if it is not listed."""
        return self._tables.sizes.get(name, 0)

    def constant(self, *names: str) -> Optional[int]:
        """The first of these constants that there is."""
        return next((self._tables.constants[name] for name in names if name in self._tables.constants), None)

    def word_at(self, *names: str) -> int:
        """The 64-bit word in a static field."""
        return self.reader.pointer(self.static(*names))

    def flags(self) -> dict[str, bool]:
        """The flags that say which collector runs and how references are stored."""
        kind = "JVMFlag" if self.maybe("JVMFlag.flags") else "Flag"
        count, size = self.word_at(f"{kind}.numFlags"), self.size(kind)
        if not 0 < count < _MAX_FLAGS or not 16 <= size <= 128:
            raise Nonsense(f"it has {count} flags")
        name_at, value_at = self.offset(f"{kind}._name"), self.offset(f"{kind}._addr")
        raw = self.reader.read(self.word_at(f"{kind}.flags"), count * size)
        found = {}
        for at in range(0, len(raw), size):
            name, value = (struct.unpack_from("<Q", raw, at + column)[0] for column in (name_at, value_at))
            try:
                text = self.reader.cstring(name, 64) if name else ""
                if _FLAG.fullmatch(text):
                    found[text] = self.reader.unsigned(value, 1) != 0
            except MemoryUnreadable:
                continue
        return found
