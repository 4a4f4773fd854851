"""Reads the ``gHotSpotVM*`` tables: HotSpot describes itself in them, and libjvm exports them for debuggers.

Source: src/hotspot/share/runtime/vmStructs.hpp (OpenJDK). A table is an array of entries; a NULL name ends it. The size
of an entry and the offsets in it are exported too, so no struct is written down here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.reader import Nonsense, Reader

_MAX_ENTRIES = 20_000
_MAX_STRIDE = 256
_WIDTHS = {
    1: ("u1", "bool", "jbyte", "char", "unsigned char", "signed char", "CompLevel"),
    2: ("u2", "short", "jshort", "jchar", "unsigned short", "int16_t", "uint16_t"),
    4: ("u4", "int", "jint", "juint", "uint", "unsigned int", "int32_t", "uint32_t"),
}
_WIDTH_OF = {name: width for width, names in _WIDTHS.items() for name in names}


@dataclass(frozen=True)
class Field:
    """The place of a field: ``offset`` in its type (bytes). A static field has ``address``, relative to libjvm's bias.

    ``width`` is the size of its declared C++ type in bytes.
    """

    offset: int
    width: int
    address: Optional[int] = None


@dataclass(frozen=True)
class VmTables:
    """The tables of one build of libjvm: fields by (type, field), sizes of types in bytes, named constants."""

    fields: dict[tuple[str, str], Field] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)


def read_tables(reader: Reader, libjvm: LoadedObject) -> Optional[VmTables]:
    """The tables of a loaded libjvm; None if it exports none (OpenJ9). Raises MemoryUnreadable and Nonsense."""
    if libjvm.symbol("gHotSpotVMStructs") is None:
        return None
    tables = _Tables(reader, libjvm)
    return VmTables(dict(tables.fields()), dict(tables.sizes()), dict(tables.constants()))


class _Tables:
    def __init__(self, reader: Reader, libjvm: LoadedObject) -> None:
        self._reader = reader
        self._libjvm = libjvm
        self._strings: dict[int, str] = {}

    def fields(self) -> Iterator[tuple[tuple[str, str], Field]]:
        entry = "gHotSpotVMStructEntry"
        columns = ("TypeName", "FieldName", "TypeString", "IsStatic", "Offset", "Address")
        type_at, field_at, declared_at, static_at, offset_at, address_at = (
            self._word(f"{entry}{column}Offset") for column in columns
        )
        for row in self._rows("gHotSpotVMStructs", f"{entry}ArrayStride", type_at):
            key = (self._string(row, type_at), self._string(row, field_at))
            width = _width(self._string(row, declared_at))
            if _unsigned(row, static_at, 4):
                yield key, Field(0, width, _unsigned(row, address_at, 8) - self._libjvm.bias)
            else:
                yield key, Field(_unsigned(row, offset_at, 8), width)

    def sizes(self) -> Iterator[tuple[str, int]]:
        name_at, size_at = (self._word(f"gHotSpotVMTypeEntry{column}Offset") for column in ("TypeName", "Size"))
        for row in self._rows("gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride", name_at):
            yield self._string(row, name_at), _unsigned(row, size_at, 8)

    def constants(self) -> Iterator[tuple[str, int]]:
        entry = "gHotSpotVMIntConstantEntry"
        name_at, value_at = (self._word(f"{entry}{column}Offset") for column in ("Name", "Value"))
        for row in self._rows("gHotSpotVMIntConstants", f"{entry}ArrayStride", name_at):
            value = _unsigned(row, value_at, 4)
            yield self._string(row, name_at), value - (value >> 31 << 32)

    def _rows(self, table: str, stride_name: str, name_at: int) -> Iterator[bytes]:
        stride = self._word(stride_name)
        if not 16 <= stride <= _MAX_STRIDE:
            raise Nonsense(f"{stride_name} is {stride}")
        address = self._word(table)
        for _ in range(_MAX_ENTRIES):
            row = self._reader.read(address, stride)
            if not _unsigned(row, name_at, 8):
                return
            yield row
            address += stride
        raise Nonsense(f"{table} does not end")

    def _string(self, row: bytes, at: int) -> str:
        address = _unsigned(row, at, 8)
        if not address:
            return ""
        if address not in self._strings:
            self._strings[address] = self._reader.cstring(address)
        return self._strings[address]

    def _word(self, symbol: str) -> int:
        address = self._libjvm.symbol(symbol)
        if address is None:
            raise Nonsense(f"libjvm does not export {symbol}")
        return self._reader.pointer(address)


def _unsigned(row: bytes, at: int, size: int) -> int:
    if at < 0 or at + size > len(row):
        raise Nonsense(f"a column of its tables is at byte {at} of {len(row)}")
    return int.from_bytes(row[at : at + size], "little")


def _width(declared: str) -> int:
    """Give the width in bytes. 8 for pointers and size_t, and for fields of class type: only their address is used."""
    return _WIDTH_OF.get(declared.replace("volatile ", "").replace("const ", ""), 8)
