"""Writes object code as an ELF file that llvm-objdump, eu-objdump and readelf can show.

Each program has a section and a symbol. A relocation names the map that an instruction loads. The file is only for
reading: it has no map definitions and no BTF, so libbpf cannot load it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tracer.kernel.objectcode import ObjectCode

# System V gABI: ELF header, section header, symbol, relocation without addend
_HEADER, _SECTION = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
_SYMBOL, _RELOCATION = struct.Struct("<IBBHQQ"), struct.Struct("<QQ")
_IDENTITY = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian, version 1
_REL_FILE, _EM_BPF = 1, 247
_PROGBITS, _SYMTAB, _STRTAB, _REL = 1, 2, 3, 9
_ALLOCATED_CODE = 0x2 | 0x4
_GLOBAL_FUNCTION, _GLOBAL_UNTYPED = 0x12, 0x10
_R_BPF_64_64 = 1  # a 64-bit load of a symbol (Documentation/bpf/llvm_reloc.rst)
_STRINGS, _SYMBOLS, _FIRST_PROGRAM = 1, 2, 3


@dataclass(frozen=True)
class _Part:
    """One section: its name, ``sh_type``, ``sh_flags``, content, ``sh_link``, ``sh_info``, ``sh_entsize``."""

    name: str
    kind: int
    flags: int
    content: bytes
    link: int = 0
    info: int = 0
    entry: int = 0


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.content = b"\0"

    def add(self, text: str) -> int:
        at = len(self.content)
        self.content += text.encode() + b"\0"
        return at


def elf_object(code: ObjectCode) -> bytes:
    """Return the content of the ELF file."""
    strings = _Strings()
    names = list(code.programs)
    symbols = [_SYMBOL.pack(0, 0, 0, 0, 0, 0)]
    for index, name in enumerate(names):
        section = _FIRST_PROGRAM + index
        symbols.append(_SYMBOL.pack(strings.add(name), _GLOBAL_FUNCTION, 0, section, 0, len(code.programs[name])))
    first_map = len(symbols)
    symbols += [_SYMBOL.pack(strings.add(spec.name), _GLOBAL_UNTYPED, 0, 0, 0, 0) for spec in code.maps]
    programs = [_Part(name, _PROGBITS, _ALLOCATED_CODE, code.programs[name]) for name in names]
    relocations = [
        _Part(f".rel{name}", _REL, 0, _relocations(code, name, first_map), _SYMBOLS, index, _RELOCATION.size)
        for index, name in enumerate(names, _FIRST_PROGRAM)
    ]
    symbol_table = _Part(".symtab", _SYMTAB, 0, b"".join(symbols), _STRINGS, 1, _SYMBOL.size)
    rest = [symbol_table, *programs, *relocations]
    numbers = [strings.add(part.name) for part in rest]
    string_name = strings.add(".strtab")
    return _laid_out([_Part(".strtab", _STRTAB, 0, strings.content), *rest], [string_name, *numbers])


def _relocations(code: ObjectCode, name: str, first_map: int) -> bytes:
    loads = code.map_loads(name)
    return b"".join(_RELOCATION.pack(at, first_map + index << 32 | _R_BPF_64_64) for at, index in loads)


def _laid_out(parts: list[_Part], names: list[int]) -> bytes:
    """Put together header, contents and section headers. Each part begins at a multiple of eight bytes."""
    body = bytearray(_HEADER.size)
    table = [bytes(_SECTION.size)]
    for part, name in zip(parts, names):
        size = len(part.content)
        table.append(
            _SECTION.pack(name, part.kind, part.flags, 0, len(body), size, part.link, part.info, 8, part.entry)
        )
        body += part.content + bytes(-size % 8)
    _HEADER.pack_into(
        body,
        0,
        _IDENTITY,
        _REL_FILE,
        _EM_BPF,
        1,  # version
        0,  # entry
        0,  # program headers
        len(body),
        0,  # flags
        _HEADER.size,
        0,
        0,
        _SECTION.size,
        len(table),
        _STRINGS,
    )
    return bytes(body) + b"".join(table)
