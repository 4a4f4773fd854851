"""Files that any user may write to harm whoever reads them. Nothing here is kept as a binary: all is built."""

from __future__ import annotations

import lzma
import os
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Union

PROGBITS, SYMTAB, STRTAB, NOTE = 1, 2, 3, 7
COMPRESSED = 0x800

LEAK = """
int leak(int (*last)(int), int fd) { int got = last(fd); __asm__ volatile("" ::: "memory"); return got; }
"""
"""The one function of each library: it calls what makes the last call on a socket."""


@dataclass
class Section:
    """``data``, or ``size`` bytes of hole (which take no place on disk) that may begin with ``data``."""

    name: str
    data: bytes = b""
    size: int = 0
    kind: int = PROGBITS
    flags: int = 0
    link: int = 0
    align: int = 1
    entry: int = 0


def library(directory: Path, source: str = LEAK, name: str = "honest.so", *flags: str) -> Path:
    """A stripped library whose function ``leak`` its .dynsym names."""
    path = directory / name
    place = directory / (name + (".S" if source.lstrip().startswith(".text") else ".c"))
    place.write_text(source)
    command = ["gcc", "-O1", "-shared", "-fPIC", "-s", "-fno-optimize-sibling-calls", "-Wl,--build-id=none"]
    subprocess.run([*command, *flags, "-o", path, place], check=True)
    return path


def with_sections(honest: Path, out: Path, sections: list[Section]) -> None:
    """``honest`` with more sections, which no loader looks at."""
    image = bytearray(honest.read_bytes())
    (table,) = struct.unpack_from("<Q", image, 40)
    count, names_at = struct.unpack_from("<HH", image, 60)
    headers = [list(struct.unpack_from("<IIQQQQIIQQ", image, table + 64 * index)) for index in range(count)]
    start, size = headers[names_at][4:6]
    names = bytearray(image[start : start + size])
    holes = []
    for section in sections:
        header = [len(names), section.kind, section.flags, 0, len(image), max(len(section.data), section.size)]
        header += [section.link, 1, section.align, section.entry]
        names += section.name.encode() + b"\0"
        headers.append(header)
        if section.size:
            holes.append((header, section.data))
        else:
            image += section.data + bytes(-len(section.data) % 16)
    headers[names_at][4:6] = len(image), len(names)
    image += names + bytes(-len(image + names) % 16)
    end = len(image) + 64 * len(headers)
    for header, _ in holes:
        header[4] = (end + 0xFFFF) & -0x10000
        end = header[4] + header[5]
    struct.pack_into("<Q", image, 40, len(image))
    struct.pack_into("<H", image, 60, len(headers))
    for header in headers:
        image += struct.pack("<IIQQQQIIQQ", *header)
    with out.open("wb") as file:
        file.write(image)
        for header, data in holes:
            file.seek(header[4])
            file.write(data)
        file.truncate(max(end, len(image)))
    out.chmod(0o755)


def _unit(body: bytes, version: int = 4) -> bytes:
    data = struct.pack("<HIB", version, 0, 8) + body
    return struct.pack("<I", len(data)) + data


_ALL = struct.pack("<QQ", 0, 0x100000)
"""DW_AT_low_pc and DW_AT_high_pc (data8): all of a small library."""
# 1 unit, 2 subprogram, 3 lexical block, 4 inlined subroutine: with children. 5 unit with a line table. 6 inlined
# subroutine with an abstract origin (ref4).
_ABBREVIATIONS = Section(
    ".debug_abbrev",
    b"\x01\x11\x01\x11\x01\x12\x07\0\0"
    b"\x02\x2e\x01\x11\x01\x12\x07\0\0"
    b"\x03\x0b\x01\0\0"
    b"\x04\x1d\x01\x11\x01\x12\x07\0\0"
    b"\x05\x11\x00\x10\x17\x11\x01\x12\x07\0\0"
    b"\x06\x1d\x00\x31\x13\x11\x01\x12\x07\0\0"
    b"\0",
)

Build = Callable[[Path, Path], None]
"""Makes the second file of the first, which is the honest library."""


def nested(code: bytes, count: int) -> Build:
    """DIEs within DIEs: whoever recurses has no stack left."""
    return lambda honest, out: with_sections(
        honest, out, [_ABBREVIATIONS, Section(".debug_info", _unit(b"\x01" + _ALL + code * count))]
    )


def circular_origin(honest: Path, out: Path) -> None:
    """An inlined call that is its own abstract origin."""
    body = b"\x01" + _ALL + b"\x02" + _ALL
    at = 4 + 7 + len(body)
    body += b"\x06" + struct.pack("<I", at) + _ALL + b"\0\0"
    with_sections(honest, out, [_ABBREVIATIONS, Section(".debug_info", _unit(body))])


def many_units(honest: Path, out: Path) -> None:
    """A million units without ranges: none holds the address, and all are looked through."""
    with_sections(honest, out, [_ABBREVIATIONS, Section(".debug_info", _unit(b"\x03") * 1_000_000)])


def holes(honest: Path, out: Path) -> None:
    """Debug information of 1.2 GB twice, which takes no place."""
    info = _unit(b"\x05" + bytes(4) + _ALL)
    sections = [Section(".debug_info", info, size=1200 << 20), Section(".debug_line", size=1200 << 20)]
    with_sections(honest, out, [_ABBREVIATIONS, *sections])


def compressed(honest: Path, out: Path) -> None:
    """Sections of a few MB that are 700 MB when inflated."""
    size = 700
    packer = zlib.compressobj(1)
    first = _unit(b"\x05" + bytes(4) + _ALL)
    block = bytes(1 << 20)
    packed = packer.compress(first + block[len(first) :])
    packed += b"".join(packer.compress(block) for _ in range(size - 1)) + packer.flush()
    data = struct.pack("<IIQQ", 1, 0, size << 20, 1) + packed
    names = (".debug_info", ".debug_line", ".debug_str")
    with_sections(honest, out, [_ABBREVIATIONS, *(Section(name, data, flags=COMPRESSED) for name in names)])


def compressed_symbols(honest: Path, out: Path) -> None:
    """A .gnu_debugdata (an ELF file with symbols, packed by xz) that unpacks to 800 MB."""
    packer = lzma.LZMACompressor(preset=0)
    block = bytes(1 << 20)
    packed = packer.compress(honest.read_bytes()) + b"".join(packer.compress(block) for _ in range(800))
    with_sections(honest, out, [Section(".gnu_debugdata", packed + packer.flush())])


def split_unit_is_fifo(honest: Path, out: Path) -> None:
    """The unit's other half (-gsplit-dwarf) is a FIFO."""
    place = out.parent / "half.dwo"
    os.mkfifo(place, 0o644)
    names = os.fsencode(place) + b"\0" + os.fsencode(out.parent) + b"\0"
    # DW_TAG_compile_unit: DW_AT_GNU_dwo_name and DW_AT_comp_dir (string), DW_AT_GNU_dwo_id (data8), low and high pc.
    codes = b"\x01\x11\x00" + b"\xb0\x42\x08" + b"\x1b\x08" + b"\xb1\x42\x07" + b"\x11\x01\x12\x07" + b"\0\0\0"
    info = _unit(b"\x01" + names + bytes(8) + _ALL)
    with_sections(honest, out, [Section(".debug_abbrev", codes), Section(".debug_info", info)])


def lying_compressed(honest: Path, out: Path) -> None:
    """Sections that claim to be 2**62 bytes, or are no zlib stream."""
    data = struct.pack("<IIQQ", 1, 0, 1 << 62, 1) + b"nothing"
    names = (".debug_info", ".debug_abbrev", ".debug_line", ".debug_frame")
    with_sections(honest, out, [Section(name, data, flags=COMPRESSED) for name in names])


def long_line_table(honest: Path, out: Path) -> None:
    """40 million rows."""
    header = b"\x01\x01\xfb\x0e\x0d" + bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1)) + b"\0" + b"a.c\0\0\0\0" + b"\0"
    program = b"\0\x09\x02" + bytes(8) + b"\x13" * 40_000_000 + b"\0\x01\x01"
    table = struct.pack("<HI", 2, len(header)) + header + program
    line = Section(".debug_line", struct.pack("<I", len(table)) + table)
    with_sections(honest, out, [_ABBREVIATIONS, Section(".debug_info", _unit(b"\x05" + bytes(4) + _ALL)), line])


def symbols_hole(honest: Path, out: Path) -> None:
    """A .symtab of 1.4 GB that is a hole."""
    (count,) = struct.unpack_from("<H", honest.read_bytes()[:64], 60)
    symtab = Section(".symtab", size=(1400 << 20) // 24 * 24, kind=SYMTAB, link=count, align=8, entry=24)
    with_sections(honest, out, [Section(".strtab", b"\0x\0", kind=STRTAB), symtab])


def note_hole(honest: Path, out: Path) -> None:
    """A note of 1.4 GB, and no build-id: all notes are searched for it."""
    with_sections(honest, out, [Section(".note.x", size=1400 << 20, kind=NOTE, align=4)])


def go_table(honest: Path, out: Path) -> None:
    """A Go function table of 511 MB, a hole but for its header."""
    header = struct.pack("<IHBB8Q", 0xFFFFFFF1, 0, 1, 8, 1, 0, 0, 0, 0, 0, 0, 0)
    with_sections(honest, out, [Section(".gopclntab", header, size=511 << 20, align=8)])


def lying_go_table(honest: Path, out: Path) -> None:
    """A Go function table whose counts and offsets are all as large as can be."""
    header = struct.pack("<IHBB8Q", 0xFFFFFFF1, 0, 1, 8, *[(1 << 64) - 1] * 8)
    with_sections(honest, out, [Section(".gopclntab", header + b"\xff" * 4096, align=8)])


def _link(name: str) -> Section:
    text = os.fsencode(name) + b"\0"
    return Section(".gnu_debuglink", text + bytes(-len(text) % 4) + struct.pack("<I", 0x12345678), align=4)


def link_to_fifo(honest: Path, out: Path) -> None:
    """The debug file is a FIFO, in each place where it is looked for."""
    with_sections(honest, out, [_link("x.dbg")])
    (out.parent / ".debug").mkdir(exist_ok=True)
    for place in (out.parent / "x.dbg", out.parent / ".debug/x.dbg"):
        os.mkfifo(place, 0o644)


def link_to_hole(honest: Path, out: Path) -> None:
    """The debug file is a hole of 4 TB."""
    with_sections(honest, out, [_link("hole.dbg")])
    with (out.parent / "hole.dbg").open("wb") as file:
        file.truncate(1 << 42)


def link_to_kernel_log(honest: Path, out: Path) -> None:
    """The debug file is a link to /proc/kmsg: a regular file, to read which consumes the log and waits."""
    with_sections(honest, out, [_link("kmsg.dbg")])
    (out.parent / "kmsg.dbg").symlink_to("/proc/kmsg")


def alternate_is_fifo(honest: Path, out: Path) -> None:
    """The file of dwz(1) is a FIFO."""
    place = out.parent / "alternate"
    os.mkfifo(place, 0o644)
    link = Section(".gnu_debugaltlink", os.fsencode(place) + b"\0" + b"A" * 20)
    with_sections(honest, out, [_ABBREVIATIONS, Section(".debug_info", _unit(b"\x01" + _ALL + b"\0")), link])


_ASSEMBLED = """.text
.globl leak
.type leak, @function
leak:
%s
.cfi_startproc
push %%rbx
.cfi_def_cfa_offset 16
.cfi_offset %%rbx, -16
%s
mov %%rdi, %%rax
mov %%esi, %%edi
call *%%rax
pop %%rbx
.cfi_def_cfa_offset 8
ret
.cfi_endproc
.size leak, . - leak
.section .note.GNU-stack, "", @progbits
"""


def assembled(rules: str) -> Build:
    """The library with unwind rules of its own."""
    return lambda _honest, out: _moved(library(out.parent, _ASSEMBLED % ("", rules), out.name + ".built"), out)


def named(symbol: str) -> Build:
    """The library with a function of this name (assembler's words) at the address of ``leak``."""
    label = f'.globl "{symbol}"\n.type "{symbol}", @function\n"{symbol}":\n.size "{symbol}", 20'
    return lambda _honest, out: _moved(library(out.parent, _ASSEMBLED % (label, ""), out.name + ".built"), out)


def _moved(built: Path, out: Path) -> None:
    built.rename(out)


_LOOPS = "\n".join(
    f".cfi_escape 0x16, {register}, 5, 0x31, 0x13, 0x2f, 0xfb, 0xff" for register in (0, 1, 2, 4, 5, *range(8, 16))
)
"""Expressions that never end: lit1; drop; skip -5."""

_DEEP = f"""
.globl deep
.type deep, @function
deep:
.cfi_startproc
{_LOOPS}
dec %ebx
jz 1f
call deep
ret
1: sub $8, %rsp
.cfi_adjust_cfa_offset 8
mov %rdi, %rax
mov %esi, %edi
call *%rax
add $8, %rsp
.cfi_adjust_cfa_offset -8
ret
.cfi_endproc
.size deep, . - deep
"""


def deep_expressions(_honest: Path, out: Path) -> None:
    """801 frames of such expressions."""
    text = _ASSEMBLED % ("", "mov $801, %ebx")
    start, _, end = text.partition("mov %rdi, %rax\nmov %esi, %edi\ncall *%rax")
    rest, _, last = end.partition(".section")
    _moved(library(out.parent, f"{start}call deep{rest}{_DEEP}.section{last}", out.name + ".built"), out)


BUILDS: dict[str, Union[Build, None]] = {
    "honest": None,
    "nested-subprograms": nested(b"\x02" + _ALL, 200_000),
    "nested-blocks": nested(b"\x03", 3_000_000),
    "nested-inlined": nested(b"\x04" + _ALL, 200_000),
    "circular-origin": circular_origin,
    "many-units": many_units,
    "holes": holes,
    "compressed": compressed,
    "compressed-symbols": compressed_symbols,
    "split-unit-is-fifo": split_unit_is_fifo,
    "lying-compressed": lying_compressed,
    "long-line-table": long_line_table,
    "symbols-hole": symbols_hole,
    "note-hole": note_hole,
    "go-table": go_table,
    "lying-go-table": lying_go_table,
    "link-to-fifo": link_to_fifo,
    "link-to-hole": link_to_hole,
    "link-to-kernel-log": link_to_kernel_log,
    "alternate-is-fifo": alternate_is_fifo,
    "remembered-states": assembled(".rept 3000000\n.cfi_escape 0x0a\n.endr"),
    "endless-expressions": assembled(_LOOPS),
    "deep-expressions": deep_expressions,
    "endless-cfa": assembled(".cfi_escape 0x0f, 5, 0x31, 0x13, 0x2f, 0xfb, 0xff"),
    "cxx-name": named("_Z" + "N1a" * 1000 + "IiEE" * 300 + "v"),
    "cxx-pointers": named("_Z1f" + "P" * 4000 + "i"),
    "cxx-back-references": named("_Z1f" + "S_S0_" * 700),
    "rust-name": named("_R" + "NvC1a" * 10 + "B" * 3000),
    "rust-back-references": named("_RNvC1a" + "TB0_" * 900 + "E"),
}
"""By name: how to make the file; None is the honest library itself."""

NAMELESS = frozenset(("symbols-hole", "endless-cfa", *(name for name in BUILDS if name.startswith(("cxx-", "rust-")))))
"""Where ``leak`` need not be told: the file itself hides it, or names it otherwise."""


def make(name: str, directory: Path) -> Path:
    """The file ``name``, for any user to read, in a folder of its own."""
    place = directory / name
    place.mkdir()
    place.chmod(0o755)
    honest, build = library(place), BUILDS[name]
    out = place / f"{name}.so"
    if build is None:
        honest.rename(out)
    else:
        build(honest, out)
    return out
