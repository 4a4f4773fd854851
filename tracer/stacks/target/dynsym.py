"""Reads the exported symbols of a loaded shared object, only from the process's memory.

The dynamic section and the symbol, string and hash tables are in the loaded segments (System V gABI, "Dynamic
Section"). So the file and its mount namespace are not needed. This also works if the file was replaced on disk while
the process runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional, Union

from tracer.machine.registers import PAGE_SIZE
from tracer.stacks.target.reader import Nonsense, Reader

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SYM = struct.Struct("<IBBHQQ")
_PT_LOAD, _PT_DYNAMIC, _PT_NOTE = 1, 2, 4
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
_NT_GNU_BUILD_ID = 3
_MAX_NEEDED, _MAX_STRINGS = 1 << 16, 1 << 24
_MAX_SEGMENTS, _MAX_DYNAMIC, _MAX_CHAIN, _MAX_NOTES = 128, 512, 1024, 4096


@dataclass(frozen=True)
class _GnuHash:
    buckets: int
    count: int
    chains: int
    first: int


@dataclass(frozen=True)
class _SysvHash:
    """The older table, which some builds have alone (Temurin 11.0.13)."""

    buckets: int
    count: int
    chains: int
    symbols: int


class LoadedObject:
    """The ELF object whose first byte in memory is at ``base``. All methods raise MemoryUnreadable and Nonsense."""

    def __init__(self, reader: Reader, base: int) -> None:
        self._reader = reader
        self._segments = self._program_headers(base)
        loads = [virtual for kind, virtual, _ in self._segments if kind == _PT_LOAD]
        if not loads:
            raise Nonsense(f"the ELF header at {base:#x} has no loaded segment")
        self.bias = base - min(loads) // PAGE_SIZE * PAGE_SIZE
        self._dynamic = self._dynamic_section()
        gnu = bool(self._dynamic.get(_DT_GNU_HASH))
        self._hash: Union[_GnuHash, _SysvHash] = self._gnu_hash() if gnu else self._sysv_hash()

    def symbol(self, name: str) -> Optional[int]:
        """The run-time address of the symbol ``name``; None if the object does not define it."""
        found = self.sized_symbol(name)
        return found[0] if found is not None else None

    def sized_symbol(self, name: str) -> Optional[tuple[int, int]]:
        """The run-time address and the size (bytes) of the symbol ``name``; None if the object does not define it."""
        table = self._hash
        return self._by_gnu(name, table) if isinstance(table, _GnuHash) else self._by_sysv(name, table)

    def needs(self, name: str) -> bool:
        """Whether the object needs this symbol of another one. Such symbols are the first of the table."""
        count = self._hash.first if isinstance(self._hash, _GnuHash) else self._hash.symbols
        table = self._reader.read(self._table(_DT_SYMTAB), _SYM.size * min(count, _MAX_NEEDED))
        strings = self._reader.read(self._table(_DT_STRTAB), min(self._dynamic.get(_DT_STRSZ, 0), _MAX_STRINGS))
        wanted = name.encode() + b"\0"
        return any(
            not section and strings.startswith(wanted, string)
            for string, _, _, section, _, _ in _SYM.iter_unpack(table)
        )

    def _by_gnu(self, name: str, table: _GnuHash) -> Optional[tuple[int, int]]:
        hashed = _gnu_hash(name)
        index = self._reader.unsigned(table.buckets + 4 * (hashed % table.count), 4)
        if index < table.first:
            return None
        for candidate in range(index, index + _MAX_CHAIN):
            link = self._reader.unsigned(table.chains + 4 * (candidate - table.first), 4)
            if link | 1 == hashed | 1:
                found = self._symbol_at(candidate, name)
                if found is not None:
                    return found
            if link & 1:
                break
        return None

    def segment(self, kind: int) -> Optional[tuple[int, int]]:
        """The run-time address and the size (bytes) of the first segment of this kind (PT_*); None if there is none."""
        found = ((self.bias + virtual, size) for each, virtual, size in self._segments if each == kind)
        return next(found, None)

    def _by_sysv(self, name: str, table: _SysvHash) -> Optional[tuple[int, int]]:
        index = self._reader.unsigned(table.buckets + 4 * (_sysv_hash(name) % table.count), 4)
        for _ in range(_MAX_CHAIN):
            if not 0 < index < table.symbols:
                break
            found = self._symbol_at(index, name)
            if found is not None:
                return found
            index = self._reader.unsigned(table.chains + 4 * index, 4)
        return None

    def build_id(self) -> bytes:
        """The linker's build-id; empty if there is none."""
        for kind, virtual, size in self._segments:
            if kind == _PT_NOTE:
                found = _build_id(self._reader.read(self.bias + virtual, min(size, _MAX_NOTES)))
                if found:
                    return found
        return b""

    def _program_headers(self, base: int) -> list[tuple[int, int, int]]:
        header = _EHDR.unpack(self._reader.read(base, _EHDR.size))
        magic, offset, entry, count = header[0], header[5], header[9], header[10]
        if magic[:6] != b"\x7fELF\x02\x01" or entry != _PHDR.size or count > _MAX_SEGMENTS:
            raise Nonsense(f"there is no little-endian ELF64 header at {base:#x}")
        raw = self._reader.read(base + offset, entry * count)
        return [(fields[0], fields[3], fields[6]) for fields in _PHDR.iter_unpack(raw)]

    def _dynamic_section(self) -> dict[int, int]:
        for kind, virtual, size in self._segments:
            if kind == _PT_DYNAMIC:
                raw = self._reader.read(self.bias + virtual, min(size // 16, _MAX_DYNAMIC) * 16)
                return dict(struct.iter_unpack("<QQ", raw))
        raise Nonsense("its library has no dynamic section")

    def _table(self, tag: int) -> int:
        value = self._dynamic.get(tag, 0)
        if not value:
            raise Nonsense(f"the dynamic section of its library has no entry {tag:#x}")
        # glibc relocates these entries in place, musl does not.
        return value if value >= self.bias else value + self.bias

    def _gnu_hash(self) -> _GnuHash:
        table = self._table(_DT_GNU_HASH)
        count, first, bloom, _ = struct.unpack("<IIII", self._reader.read(table, 16))
        if not count:
            raise Nonsense("the symbol hash table of its library is empty")
        buckets = table + 16 + 8 * bloom
        return _GnuHash(buckets, count, buckets + 4 * count, first)

    def _sysv_hash(self) -> _SysvHash:
        table = self._table(_DT_HASH)
        count, symbols = struct.unpack("<II", self._reader.read(table, 8))
        if not count:
            raise Nonsense("the symbol hash table of its library is empty")
        return _SysvHash(table + 8, count, table + 8 + 4 * count, symbols)

    def _symbol_at(self, index: int, name: str) -> Optional[tuple[int, int]]:
        raw = self._reader.read(self._table(_DT_SYMTAB) + _SYM.size * index, _SYM.size)
        string, _, _, section, value, size = _SYM.unpack(raw)
        if not section or string >= self._dynamic.get(_DT_STRSZ, 0):
            return None
        text = self._reader.cstring(self._table(_DT_STRTAB) + string, len(name) + 1)
        return (int(self.bias + value), int(size)) if text == name else None


def _gnu_hash(name: str) -> int:
    value = 5381
    for byte in name.encode():
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _sysv_hash(name: str) -> int:
    """System V gABI, "Hash Table"."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def _build_id(notes: bytes) -> bytes:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name_end = at + 12 + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[name_end : name_end + size]
        at = name_end + (size + 3) // 4 * 4
    return b""
