"""All classes that a JVM has loaded: their names, sizes, reference fields and arrays.

Sources: oops/klass.hpp, instanceKlass.hpp, instanceRefKlass.cpp, classfile/classLoaderData.hpp. The oop maps of a class
tell which words of its objects are references. They include the superclasses' and leave out the referent of a
java.lang.ref.Reference, so that weak references do not count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.heap.oops import Oops
from tracer.stacks.languages.java.heap.vm import Vm
from tracer.stacks.target.reader import Nonsense

_MAX_CLASSES, _MAX_LOADERS = 200_000, 50_000
_MAX_TABLE_WORDS, _MAX_MAPS, _MAX_REFERENCES = 1 << 16, 1024, 4096
_MAX_NAME = 1 << 12
_PRIMITIVE = ("bool", "byte", "char", "int", "short", "long", "single", "double")


@dataclass(frozen=True)
class Klass:
    """A class: ``address`` is that of its metadata, ``number`` what headers have.

    ``size`` is that of its objects in bytes, 0 for arrays and for what has no fixed size. ``is_reference_array``:
    its elements are references. ``elements_at`` is where an array's elements begin. ``references`` are the offsets of
    all reference fields. ``statics`` says that it may have static ones. ``mirror`` is the content of
    Klass::_java_mirror.
    """

    address: int
    number: int
    name: str
    superclass: int
    size: int
    is_reference_array: bool
    elements_at: int
    references: tuple[int, ...]
    statics: bool
    mirror: int


class Classes:
    """All classes that were loaded when this was made. Raises MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, vm: Vm, oops: Oops) -> None:
        self._vm, self._reader, self._oops = vm, vm.reader, oops
        self._layout_at, self._name_at = vm.offset("Klass._layout_helper"), vm.offset("Klass._name")
        self._super_at, self._mirror_at = vm.offset("Klass._super"), vm.offset("Klass._java_mirror")
        self._vtable_at = vm.offset("Klass._vtable_len", "InstanceKlass._vtable_len")
        self._itable_at = vm.offset("InstanceKlass._itable_len")
        self._maps_at = vm.offset("InstanceKlass._nonstatic_oop_map_size")
        self._statics_at = vm.maybe("InstanceKlass._static_oop_field_count")
        self._length = vm.maybe("Symbol._length")
        self._shared_length = vm.offset("Symbol._length_and_refcount") if self._length is None else 0
        self._body_at = vm.offset("Symbol._body", "Symbol._body[0]")
        self._head = vm.size("InstanceKlass")
        if not 128 <= self._head <= 2048:
            raise Nonsense(f"sizeof(InstanceKlass) is {self._head}")
        self.by_address: dict[int, Klass] = {}
        for address in self._addresses():
            self._add(address)
        self.by_number = {klass.number: klass for klass in self.by_address.values()}
        self._supers: dict[int, frozenset[str]] = {}

    def named(self, name: str) -> list[Klass]:
        """All classes of this name: one for each class loader that has it."""
        return [klass for klass in self.by_address.values() if klass.name == name]

    def lineage(self, klass: Klass) -> Iterator[Klass]:
        """The class and its superclasses."""
        seen: Optional[Klass] = klass
        for _ in range(64):
            if seen is None:
                return
            yield seen
            seen = self.by_address.get(seen.superclass)

    def is_a(self, klass: Klass, *names: str) -> bool:
        """Whether the class or a superclass has one of these names."""
        known = self._supers.get(klass.address)
        if known is None:
            known = self._supers[klass.address] = frozenset(one.name for one in self.lineage(klass))
        return not known.isdisjoint(names)

    def with_super(self, name: str) -> list[Klass]:
        """The classes of this name and all their subclasses."""
        if not any(klass.name == name for klass in self.by_address.values()):
            return []
        return [klass for klass in self.by_address.values() if klass.size and self.is_a(klass, name)]

    def all_known(self) -> bool:
        """Whether no class was loaded meanwhile."""
        return all(address in self.by_address for address in self._addresses())

    def symbol(self, address: int) -> str:
        """The text of a Symbol."""
        page_left = 4096 - address % 4096
        raw = self._reader.read(address, min(96, page_left)) if page_left >= 16 else self._reader.read(address, 16)
        if self._length is not None:
            at, width = self._length.offset, self._length.width
            size = int.from_bytes(raw[at : at + width], "little")
        else:
            size = int.from_bytes(raw[self._shared_length : self._shared_length + 4], "little") >> 16
        if size > _MAX_NAME:
            raise Nonsense(f"a name of {size} bytes")
        text = raw[self._body_at : self._body_at + size]
        if len(text) < size:
            text = self._reader.read(address + self._body_at, size)
        return text.decode("utf-8", "replace")

    def _addresses(self) -> Iterator[int]:
        listed = self._vm.maybe("ClassLoaderData._klasses")
        if listed is None:
            yield from self._tree()
            return
        loader_next, class_next = self._vm.offset("ClassLoaderData._next"), self._vm.offset("Klass._next_link")
        loader, pointer = self._vm.word_at("ClassLoaderDataGraph._head"), self._reader.pointer
        loaders = classes = 0
        while loader:
            loaders += 1
            klass = pointer(loader + listed.offset)
            while klass:
                classes += 1
                if classes > _MAX_CLASSES or loaders > _MAX_LOADERS:
                    raise Nonsense("its list of classes does not end")
                yield klass
                klass = pointer(klass + class_next)
            loader = pointer(loader + loader_next)

    def _tree(self) -> Iterator[int]:
        """JDK 8 does not export the lists: all subclasses of Object, with the arrays of each."""
        listed = "SystemDictionary._well_known_klasses[SystemDictionary::"
        known = (
            "SystemDictionary.Object_klass_knum",
            f"{listed}Object_klass_knum]",
            f"{listed}WK_KLASS_ENUM_NAME(Object_klass)]",
        )
        below, beside = self._vm.offset("Klass._subklass"), self._vm.offset("Klass._next_sibling")
        arrays, higher = (
            self._vm.offset("InstanceKlass._array_klasses"),
            self._vm.offset("ArrayKlass._higher_dimension"),
        )
        primitive = [self._vm.maybe(f"Universe._{kind}ArrayKlassObj") for kind in _PRIMITIVE]
        waiting = [self._vm.word_at(*known)]
        waiting += [self._vm.word_at(f"Universe._{k}ArrayKlassObj") for k, found in zip(_PRIMITIVE, primitive) if found]
        seen: set[int] = set()
        while waiting:
            klass = waiting.pop()
            if not klass or klass in seen:
                continue
            if len(seen) > _MAX_CLASSES:
                raise Nonsense("its tree of classes does not end")
            seen.add(klass)
            yield klass
            layout = self._reader.signed(klass + self._layout_at, 4)
            beyond = arrays if layout >= 0 else higher
            waiting += [self._reader.pointer(klass + offset) for offset in (below, beside, beyond)]

    def _add(self, address: int) -> None:
        raw = self._reader.read(address, self._head)
        (layout,) = struct.unpack_from("<i", raw, self._layout_at)
        name, superclass, mirror = (
            struct.unpack_from("<Q", raw, at)[0] for at in (self._name_at, self._super_at, self._mirror_at)
        )
        # Klass::layout_helper: an array's is negative, its upper two bits tell references (-2) from other elements.
        references_inside = layout < 0 and layout >> 30 == -2
        instances = layout > 0
        self.by_address[address] = Klass(
            address=address,
            number=self._oops.class_number(address),
            name=self.symbol(name).replace("/", ".") if name else "",
            superclass=superclass,
            # The lowest bit says that objects need a slow way of allocation.
            size=layout & ~7 if instances else 0,
            is_reference_array=references_inside,
            elements_at=layout >> 16 & 0xFF if layout < 0 else 0,
            references=self._references(address, raw) if instances else (),
            statics=layout >= 0 and (self._statics_at is None or raw[self._statics_at.offset :][:2] != b"\0\0"),
            mirror=mirror,
        )

    def _references(self, address: int, raw: bytes) -> tuple[int, ...]:
        vtable, itable, maps = (
            struct.unpack_from("<I", raw, at)[0] for at in (self._vtable_at, self._itable_at, self._maps_at)
        )
        if vtable > _MAX_TABLE_WORDS or itable > _MAX_TABLE_WORDS or maps > _MAX_MAPS:
            raise Nonsense(f"a class has {maps} oop maps")
        if not maps:
            return ()
        found: list[int] = []
        for offset, count in struct.iter_unpack(
            "<iI", self._reader.read(address + self._head + 8 * (vtable + itable), 8 * maps)
        ):
            if count > _MAX_REFERENCES or offset < 8:
                raise Nonsense("an oop map is too long")
            found += range(offset, offset + count * self._oops.size, self._oops.size)
        return tuple(found)


def elements_of(name: str) -> str:
    """``[Ljava.lang.Object;`` as Java writes it: ``java.lang.Object[]``."""
    depth = len(name) - len(name.lstrip("["))
    base = name[depth:]
    if base.startswith("L") and base.endswith(";"):
        base = base[1:-1]
    return base + "[]" * depth
