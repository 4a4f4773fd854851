"""Reads a few facts directly from an ELF file: class, machine, entry, segments, build-id (System V gABI)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from tracer.machine import registers as arch

PF_X = 1
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_INTERP = 3
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
_DT_NULL, _DT_NEEDED, _DT_SONAME = 0, 1, 14
_MAX_DYNAMIC_BYTES = 1 << 16
_MAX_HEADERS = 256
_MAX_NOTE_BYTES = 1 << 16
_MAX_SECTION_NAMES = 1 << 20
_MAX_SECTIONS, _MAX_SECTION_NAME = 1024, 64


@dataclass(frozen=True)
class Segment:
    """One PT_LOAD program header."""

    flags: int
    offset: int
    vaddr: int
    file_size: int
    memory_size: int


@dataclass(frozen=True)
class Section:
    """The place of a section: its address, its offset in the file, its size in bytes."""

    address: int
    offset: int
    size: int


@dataclass(frozen=True)
class ElfFacts:
    """``bits`` is 32 or 64. The fields after ``machine`` are filled only for 64-bit little-endian files."""

    bits: int
    machine: int
    entry: int = 0
    segments: tuple[Segment, ...] = ()
    build_id: bytes = b""
    is_static: bool = False
    """True for a program that needs no dynamic linker. Also true for the musl library, which is itself one."""
    sections: Mapping[bytes, Section] = field(default_factory=dict)
    """By name; empty if the section headers were stripped."""

    @property
    def has_symtab(self) -> bool:
        """Whether the file has the full symbol table."""
        return b".symtab" in self.sections

    def bias(self, offset: int) -> Optional[int]:
        """Find the number that turns a file offset into an address of symbols and CFI, for code mapped from ``offset``.

        None if no segment is loaded from there. Mappings start at page boundaries; segments may start anywhere.
        """
        best: Optional[Segment] = None
        for segment in self.segments:
            start = segment.offset & -arch.PAGE_SIZE
            if start <= offset < segment.offset + segment.file_size and (best is None or segment.flags & PF_X):
                best = segment
        return best.vaddr - best.offset if best else None


def read_facts(descriptor: int) -> Optional[ElfFacts]:
    """Read the facts of the ELF file behind ``descriptor``; None if it is not an ELF file or is damaged."""
    try:
        header = os.pread(descriptor, 64, 0)
        if header[:4] != b"\x7fELF" or len(header) < 20 or header[4] not in (1, 2):
            return None
        machine = int.from_bytes(header[18:20], "little")
        if header[4] == 1 or header[5] != 1:
            return ElfFacts(bits=32 * header[4], machine=machine)
        return _read64(descriptor, header, machine)
    except (OSError, struct.error, OverflowError):
        return None


def _read64(descriptor: int, header: bytes, machine: int) -> ElfFacts:
    entry, phoff, shoff, _, _, _, phnum, _, shnum, shstrndx = struct.unpack_from("<QQQIHHHHHH", header, 24)
    segments = []
    build_id = b""
    is_dynamic = is_library = False
    table = os.pread(descriptor, 56 * min(phnum, _MAX_HEADERS), phoff)
    for kind, flags, offset, vaddr, _, file_size, memory_size, _ in struct.iter_unpack(
        "<IIQQQQQQ", table[: len(table) // 56 * 56]
    ):
        if kind == _PT_LOAD:
            segments.append(Segment(flags, offset, vaddr, file_size, memory_size))
        elif kind == _PT_NOTE and not build_id:
            build_id = _build_id(os.pread(descriptor, min(file_size, _MAX_NOTE_BYTES), offset))
        elif kind == _PT_INTERP:
            is_dynamic = True
        elif kind == _PT_DYNAMIC:
            is_library = _names_libraries(os.pread(descriptor, min(file_size, _MAX_DYNAMIC_BYTES), offset))
    return ElfFacts(
        bits=64,
        machine=machine,
        # Some linkers also give a library an entry, the start of its text.
        entry=entry if is_dynamic or not is_library else 0,
        segments=tuple(segments),
        build_id=build_id,
        is_static=entry != 0 and not is_dynamic and not is_library,
        sections=_sections(descriptor, shoff, shnum, shstrndx),
    )


def _names_libraries(dynamic: bytes) -> bool:
    """Tell whether a dynamic section needs a library or names itself as one. A static-pie program does neither."""
    for tag, _ in struct.iter_unpack("<qQ", dynamic[: len(dynamic) // 16 * 16]):
        if tag in (_DT_NEEDED, _DT_SONAME):
            return True
        if tag == _DT_NULL:
            break
    return False


def _build_id(notes: bytes) -> bytes:
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, position)
        name = position + 12
        start = name + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0":
            return notes[start : start + size]
        position = start + (size + 3) // 4 * 4
    return b""


def _sections(descriptor: int, shoff: int, count: int, names_index: int) -> dict[bytes, Section]:
    """Read the section headers, by name; empty if they were stripped."""
    table = os.pread(descriptor, 64 * count, shoff) if shoff else b""
    headers = list(struct.iter_unpack("<IIQQQQIIQQ", table[: len(table) // 64 * 64]))
    if names_index >= len(headers):
        return {}
    names = os.pread(descriptor, min(headers[names_index][5], _MAX_SECTION_NAMES), headers[names_index][4])
    sections = {}
    for name, _, _, address, offset, size, *_ in headers[:_MAX_SECTIONS]:
        end = names.find(b"\0", name, name + _MAX_SECTION_NAME)
        if end >= 0:
            sections[names[name:end]] = Section(address, offset, size)
    return sections
