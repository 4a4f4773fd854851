"""How this JVM stores references and where an object's parts are.

Sources: oops/oop.hpp, markWord.hpp, compressedOops.hpp, compressedKlass.hpp. An object has a mark of 8 bytes, then its
class: 4 bytes, 8 without compressed class pointers, and with compact headers (JEP 450) the upper 22 bits of the mark.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer.stacks.languages.java.heap.vm import Vm
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.target.reader import Nonsense

HEADER_BYTES = 16
"""What holds the mark and the class in all forms."""
_COMPACT_SHIFT = 42
_FORWARDED = 3
_MAX_SHIFT = 16


@dataclass(frozen=True)
class Oops:
    """``size`` is the bytes of a reference; an address is ``(reference << shift) + base``.

    ``class_bytes`` behind an object's mark tell its class by number; 0 with compact headers. A class at an address has
    the number ``(address - class_base) >> class_shift``. An array has its length at ``length_at``.
    """

    size: int
    base: int
    shift: int
    class_bytes: int
    class_base: int
    class_shift: int
    length_at: int

    @property
    def compact(self) -> bool:
        """Whether the mark has the class."""
        return self.class_bytes == 0

    def address(self, reference: int) -> int:
        """The address that a stored reference, not null, stands for."""
        return (reference << self.shift) + self.base

    def reference(self, address: int) -> int:
        """The stored form of an address."""
        return (address - self.base) >> self.shift

    def class_number(self, klass: int) -> int:
        """The number that objects of the class at this address have in their headers."""
        return (klass - self.class_base) >> self.class_shift

    def header_number(self, header: bytes) -> int:
        """The number of the class in a header; -1 for one that was moved away."""
        mark = int.from_bytes(header[:8], "little")
        if mark & _FORWARDED == _FORWARDED:
            return -1
        if self.compact:
            return mark >> _COMPACT_SHIFT
        return int.from_bytes(header[8 : 8 + self.class_bytes], "little")


def read_oops(vm: Vm, flags: dict[str, bool]) -> Oops:
    """Raises MissingTables, MemoryUnreadable and Nonsense."""
    narrow, compact = flags.get("UseCompressedOops", False), flags.get("UseCompactObjectHeaders", False)
    narrow_class = compact or flags.get("UseCompressedClassPointers", False)
    base, shift = _encoding(vm, "CompressedOops", "_narrow_oop") if narrow else (0, 0)
    class_base, class_shift = _encoding(vm, "CompressedKlassPointers", "_narrow_klass") if narrow_class else (0, 0)
    return Oops(
        size=4 if narrow else 8,
        base=base,
        shift=shift,
        class_bytes=0 if compact else 4 if narrow_class else 8,
        class_base=class_base,
        class_shift=class_shift,
        length_at=8 if compact else 12 if narrow_class else 16,
    )


_MEMBERS = ("_base", "_shift")


def _encoding(vm: Vm, owner: str, old: str) -> tuple[int, int]:
    names = [(f"{owner}.{member}", f"{owner}.{old}.{member}", f"Universe.{old}.{member}") for member in _MEMBERS]
    try:
        base, shift = vm.word_at(*names[0]), vm.reader.unsigned(vm.static(*names[1]), 4)
    except MissingTables:
        raise MissingTables(f"{owner}._base") from None
    if shift > _MAX_SHIFT:
        raise Nonsense(f"{owner}._shift is {shift}")
    return base, shift
