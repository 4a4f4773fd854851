"""Names of fields by their offsets, and the static fields that are references.

Sources: oops/fieldInfo.hpp, fieldStreams.hpp. Until JDK 20 InstanceKlass::_fields has six numbers of 16 bits for each
field: flags, name, signature, initial value, and the offset in two halves with two bits of a tag below. Since JDK 21
InstanceKlass::_fieldinfo_stream has UNSIGNED5 numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.vm import Vm
from tracer.stacks.languages.java.unsigned5 import Unsigned5
from tracer.stacks.target.reader import Nonsense

_STATIC = 0x0008
_MAX_FIELDS, _MAX_STREAM = 65_535, 1 << 20
_HAS_VALUE, _HAS_SIGNATURE, _HAS_GROUP = 1, 4, 16


@dataclass(frozen=True)
class _Raw:
    name: int
    signature: int
    offset: int
    is_static: bool


@dataclass(frozen=True)
class Member:
    """A field that a class itself declares: ``offset`` in its objects, of a static one in its mirror."""

    name: str
    signature: str
    offset: int
    is_static: bool

    @property
    def is_reference(self) -> bool:
        """Whether it refers to an object. An int can look like a reference, so only the signature tells."""
        return self.signature[:1] in ("L", "[")


class FieldNames:
    """The fields of classes, each class read once. Methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, vm: Vm, classes: Classes) -> None:
        self._reader, self._classes = vm.reader, classes
        self._constants_at, self._pool_size = vm.offset("InstanceKlass._constants"), vm.size("ConstantPool")
        self._stream = vm.maybe("InstanceKlass._fieldinfo_stream")
        self._fields_at = vm.offset("InstanceKlass._fields") if self._stream is None else 0
        self._count_at = vm.offset("InstanceKlass._java_fields_count") if self._stream is None else 0
        self._symbols: dict[int, str] = {}
        self._known: dict[int, tuple[Member, ...]] = {}

    def of(self, klass: Klass) -> tuple[Member, ...]:
        """The fields that the class itself declares."""
        known = self._known.get(klass.address)
        if known is None:
            pool = self._reader.pointer(klass.address + self._constants_at) + self._pool_size
            known = tuple(
                Member(self._text(pool, raw.name), self._text(pool, raw.signature), raw.offset, raw.is_static)
                for raw in self._raw(klass)
            )
            self._known[klass.address] = known
        return known

    def static_references(self, klass: Klass) -> Iterator[tuple[int, int]]:
        """Offset in the mirror, and index in the constant pool of the name, of each static reference."""
        pool = self._reader.pointer(klass.address + self._constants_at) + self._pool_size
        for raw in self._raw(klass):
            if raw.is_static and self._text(pool, raw.signature)[:1] in ("L", "["):
                yield raw.offset, raw.name

    def static_name(self, klass: Klass, index: int) -> str:
        """The name at ``index`` in the class's constant pool."""
        pool = self._reader.pointer(klass.address + self._constants_at) + self._pool_size
        return self._text(pool, index)

    def name_at(self, klass: Klass, offset: int) -> str:
        """The name of the instance field at ``offset`` in objects of the class."""
        for one in self._classes.lineage(klass):
            for member in self.of(one):
                if member.offset == offset and not member.is_static:
                    return member.name
        return f"+{offset}"

    def offset(self, klass: Klass, *names: str) -> int:
        """The offset of the first of these instance fields in objects of the class; -1 if it has none of them."""
        for name in names:
            for one in self._classes.lineage(klass):
                for member in self.of(one):
                    if member.name == name and not member.is_static:
                        return member.offset
        return -1

    def _raw(self, klass: Klass) -> Iterator[_Raw]:
        if self._stream is not None:
            yield from self._from_stream(klass, self._stream.offset)
            return
        count = self._reader.unsigned(klass.address + self._count_at, 2)
        array = self._reader.pointer(klass.address + self._fields_at)
        for flags, name, signature, _, low, high in struct.iter_unpack("<6H", self._reader.read(array + 4, 12 * count)):
            yield _Raw(name, signature, (high << 16 | low) >> 2, bool(flags & _STATIC))

    def _from_stream(self, klass: Klass, at: int) -> Iterator[_Raw]:
        array = self._reader.pointer(klass.address + at)
        size = self._reader.unsigned(array, 4)
        if size > _MAX_STREAM:
            raise Nonsense(f"{size} bytes of fields")
        stream = Unsigned5(self._reader.read(array + 4, size), biased=True)
        count, _ = stream.unsigned(), stream.unsigned()
        if count > _MAX_FIELDS:
            raise Nonsense(f"{count} fields")
        for _ in range(count):
            name, signature, offset, access, flags = (stream.unsigned() for _ in range(5))
            for bit in (_HAS_VALUE, _HAS_SIGNATURE, _HAS_GROUP):
                if flags & bit:
                    stream.unsigned()
            yield _Raw(name, signature, offset, bool(access & _STATIC))

    def _text(self, pool: int, index: int) -> str:
        symbol = self._reader.pointer(pool + 8 * index)
        known = self._symbols.get(symbol)
        if known is None:
            known = self._symbols[symbol] = self._classes.symbol(symbol)
        return known
