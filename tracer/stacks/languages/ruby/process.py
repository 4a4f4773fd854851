"""Finds Ruby in a process: its version, its virtual machine, and where a thread keeps its current context."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Target
from tracer.stacks.languages.ruby import layouts as at
from tracer.stacks.languages.ruby.layouts import LAYOUTS, Layout
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

FILE = re.compile(r"ruby[\d.]*|libruby\S*\.so[\d.]*")
_PAGE = 4096
_MOST_LOCAL = 16
"""Pages below the thread pointer where variables of threads are looked for."""
_CODE_BYTES = 96
# rb_gc_count: the address of the pointer to the VM (through a GOT entry or at once), then VM -> objspace -> count.
_GC_COUNT = re.compile(
    rb"(?:\xf3\x0f\x1e\xfa)?\x48(\x8b|\x8d)\x05(....)\x48\x8b\x00\x48\x8b\x80(....)\x48\x8b\x80(....)\xc3", re.DOTALL
)
# rb_sym_all_symbols: the table of names, of which it then reads the number of entries.
_SYMBOLS = re.compile(rb"\x48\x8b\x05(....)\x48\x8b\x78\x10", re.DOTALL)
_TABLE_IN_SYMBOLS = 8
_PT_GNU_EH_FRAME = 0x6474E550


class Unfit(Exception):
    """The frames of this Ruby cannot be told; the text says why."""


@dataclass(frozen=True)
class Ruby:
    """Ruby in a process. ``module`` is the path of the file with its code. Addresses: ``vm`` of the VM,
    ``symbols`` of the table of symbols (None if it was not found). ``functions`` are the address and the size (bytes)
    of the table of the file's functions, .eh_frame_hdr.
    """

    version: tuple[int, int]
    module: str
    layout: Layout
    vm: int
    symbols: Optional[int]
    functions: tuple[int, int]


def find(process: Process) -> Optional[Ruby]:
    """The Ruby in ``process``; None if there is none or if it has not begun yet. Raises Unfit."""
    for mapping in process.mappings:
        if mapping.is_file and mapping.offset == 0 and FILE.fullmatch(mapping.path.rpartition("/")[2]):
            try:
                found = _of_file(Reader(process), mapping)
            except (Nonsense, MemoryUnreadable):
                continue
            if found is not None:
                return found
    return None


def _of_file(reader: Reader, mapping: Mapping) -> Optional[Ruby]:
    symbols = LoadedObject(reader, mapping.start)
    number, count = symbols.symbol("ruby_api_version"), symbols.symbol("rb_gc_count")
    if number is None or count is None:
        return None
    major, minor = struct.unpack("<II", reader.read(number, 8))
    layout = LAYOUTS.get((major, minor))
    if layout is None:
        raise Unfit(f"Ruby {major}.{minor} is not known")
    vm = _vm(reader, count, layout)
    if not vm:
        return None
    names, functions = _symbols(reader, symbols.symbol("rb_sym_all_symbols")), symbols.segment(_PT_GNU_EH_FRAME)
    return Ruby((major, minor), mapping.path, layout, vm, names, functions or (0, 0))


def _vm(reader: Reader, function: int, layout: Layout) -> int:
    """The VM's address, 0 before there is one. ``function`` reads it, and how often the garbage collector ran.

    The offsets that it uses must be those of ``layout``. Raises Unfit, MemoryUnreadable.
    """
    code = reader.read(function, _CODE_BYTES)
    match = _GC_COUNT.match(code)
    if match is None:
        raise Unfit("this build of Ruby is not known")
    load, place, objspace, collections = match.group(1), *map(_displacement, match.groups()[1:])
    if (objspace, collections) != (layout.objspace, layout.collections):
        raise Unfit("this build of Ruby has another layout")
    address = function + match.end(2) + place
    return reader.pointer(reader.pointer(address) if load == b"\x8b" else address)


def _symbols(reader: Reader, function: Optional[int]) -> Optional[int]:
    """The address of ruby_global_symbols, which ``function`` reads; None if that cannot be told."""
    if function is None:
        return None
    match = _SYMBOLS.search(reader.read(function, _CODE_BYTES))
    return function + match.end(1) + _displacement(match.group(1)) - _TABLE_IN_SYMBOLS if match is not None else None


def _displacement(code: bytes) -> int:
    return int.from_bytes(code, "little", signed=True)


def kernel_entry(target: Target) -> Optional[bytes]:
    """What bpf/languages/ruby.bpf.c needs to know of ``target``; None if it runs no Ruby that it can read (yet)."""
    try:
        found = find(target.process)
        return found.layout.values(slot_of(Reader(target.process), found)) if found is not None else None
    except (Unfit, Nonsense, MemoryUnreadable):
        return None


def slot_of(reader: Reader, ruby: Ruby) -> int:
    """How far from the thread pointer each thread has the address of its current context.

    ``ruby_current_ec`` is a variable of threads, and its place depends on all libraries of the program. So it is looked
    for in the main thread. Raises Unfit, MemoryUnreadable.
    """
    layout = ruby.layout
    thread = reader.pointer(ruby.vm + at.VM_MAIN_THREAD)
    context = reader.pointer(thread + layout.thread_context)
    if reader.pointer(thread + at.THREAD_VM) != ruby.vm or reader.pointer(context + at.CONTEXT_THREAD) != thread:
        raise Unfit("this build of Ruby has another layout")
    pointer = thread
    for offset in layout.thread_id:
        pointer = reader.pointer(pointer + offset)
    found = next(_words(reader, pointer, context), None)
    if found is None:
        raise Unfit("no variable of its main thread has the current context")
    return found - pointer


def _words(reader: Reader, end: int, wanted: int) -> Iterator[int]:
    """The addresses below ``end`` of the words that are ``wanted``, the highest first, as far as memory goes."""
    pattern = struct.pack("<Q", wanted)
    low = end
    for _ in range(_MOST_LOCAL):
        start = (low - 1) // _PAGE * _PAGE
        try:
            data = reader.read(start, low - start)
        except MemoryUnreadable:
            return
        index = data.rfind(pattern)
        while index >= 0:
            if (start + index) % 8 == 0:
                yield start + index
            index = data.rfind(pattern, 0, index + 7)
        low = start
