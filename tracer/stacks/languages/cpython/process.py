"""Finds CPython in a process: its version, its symbols, and where its threads keep their state."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Target
from tracer.stacks.languages.cpython.layouts import LAYOUTS, Layout
from tracer.stacks.languages.cpython.slot import NOWHERE, Slot, find_local, find_slot
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_FILE = re.compile(r"(?:lib)?python3\.(\d+)[a-z]*(?:-dbg)?(?:\.so[\d.]*)?")
_ONLY_DEBUG = ("_Py_NegativeRefcount",)
_ONLY_FREE_THREADED = ("_Py_DecRefShared",)
_COOKIE = b"xdebugpy"
_TABLE_WORDS = 48
_MOST_INTERPRETERS, _MOST_THREADS, _MOST_KEYS = 256, 1024, 1024

_BOUND, _WAITS = 8, 8 | 16
"""Bits of a thread state's status: bound_gilstate; with active, which a thread has not that waits in a call."""


class Unfit(Exception):
    """The frames of this CPython cannot be told; the text says why."""


@dataclass(frozen=True)
class CPython:
    """An interpreter in a process. ``module`` is the path of its file, ``runtime`` the address of ``_PyRuntime``."""

    minor: int
    module: str
    symbols: LoadedObject
    runtime: int

    def symbol(self, name: str) -> Optional[int]:
        """The address of an exported symbol; None if there is none. Raises MemoryUnreadable, Nonsense."""
        return self.symbols.symbol(name)


def find(process: Process) -> Optional[CPython]:
    """The CPython 3 in ``process``; None if there is none, or if its version is not known. Never raises."""
    for mapping in _candidates(process):
        try:
            found = _of_file(process, mapping)
        except (Nonsense, MemoryUnreadable):
            continue
        if found is not None:
            return found
    return None


def _candidates(process: Process) -> Iterator[Mapping]:
    """The files that may hold it: those that are called so, then the program, which may have it built in."""
    first = [mapping for mapping in process.mappings if mapping.is_file and mapping.offset == 0]
    named = [mapping for mapping in first if _FILE.fullmatch(_base_name(mapping))]
    yield from named
    yield from (mapping for mapping in first[:1] if mapping not in named)


def _base_name(mapping: Mapping) -> str:
    return mapping.path.rpartition("/")[2]


def _of_file(process: Process, mapping: Mapping) -> Optional[CPython]:
    reader = Reader(process)
    symbols = LoadedObject(reader, mapping.start)
    runtime, version = symbols.symbol("_PyRuntime"), symbols.symbol("Py_Version")
    if runtime is None:
        return None
    named = _FILE.fullmatch(_base_name(mapping))
    minor = int(named.group(1)) if named is not None else None
    if version is not None:  # since 3.11: PY_VERSION_HEX
        number = reader.unsigned(version, 4)
        minor = number >> 16 & 0xFF if number >> 24 == 3 else None
    return None if minor is None else CPython(minor, mapping.path, symbols, runtime)


def kernel_entry(target: Target) -> Optional[bytes]:
    """What bpf/languages/cpython.bpf.c needs to know of ``target``; None if it runs no CPython that it can read."""
    found = find(target.process)
    if found is None:
        return None
    try:
        layout = layout_of(found, target.process)
        return layout.values(*_states(Reader(target.process), found.runtime, layout))
    except (Unfit, Nonsense, MemoryUnreadable):
        return None


def kernel_entry_of_all(target: Target, values: bytes) -> Optional[tuple[int, bytes]]:
    """The same for all processes of the program that has the interpreter; None if it holds for this one alone.

    The place where a thread keeps its state is the same in all: they have the same libraries. What is read there is
    believed only if it names the thread.
    """
    found = find(target.process)
    start = next((m.start for m in target.process.mappings if found and m.path == found.module), 0)
    return (start, values[:-8] + bytes(8)) if start and values[:8] != NOWHERE.packed().to_bytes(8, "little") else None


def layout_of(found: CPython, process: Process) -> Layout:
    """The layout of its version. Raises Unfit, for people, if its build has another one; MemoryUnreadable, Nonsense."""
    if any(found.symbol(name) is not None for name in _ONLY_DEBUG):
        raise Unfit("this is a debug build of Python")
    if any(found.symbol(name) is not None for name in _ONLY_FREE_THREADED):
        raise Unfit("this is a free-threaded build of Python")
    layout = LAYOUTS.get(found.minor)
    if layout is None:
        raise Unfit(f"Python 3.{found.minor} is not known")
    if layout.told:
        table = Reader(process).read(found.runtime, 8 * _TABLE_WORDS)
        words = struct.unpack(f"<{_TABLE_WORDS}Q", table)
        if table[: len(_COOKIE)] != _COOKIE or words[2]:
            raise Unfit("this is a free-threaded or damaged build of Python")
        wrong = layout.contradiction(words)
        if wrong:
            raise Unfit(f"this build of Python 3.{found.minor} has another layout ({wrong})")
    return layout


def _states(reader: Reader, runtime: int, layout: Layout) -> tuple[Slot, int]:
    """Where threads keep their state, and where the first thread's lies.

    Raises Unfit if no thread keeps it where a key of pthread_getspecific(3) leads to; MemoryUnreadable. If there is no
    key and no variable is found (all threads run, or libpython was loaded late), the first thread alone is told.
    """
    at, slot, first = layout.runtime, None, 0
    key = _key(reader, runtime + at.key) if at.key is not None else None
    for first in threads(reader, runtime, layout):
        thread = reader.pointer(first + at.thread_id)
        if slot is None and key is not None:
            slot = find_slot(reader, thread, key, first)
        elif slot is None and at.status is not None and reader.unsigned(first + at.status, 1) & _WAITS == _BOUND:
            slot = find_local(reader, thread, first)
    if slot is None and key is None and first:
        slot = NOWHERE
    if slot is None:
        raise Unfit("no thread keeps its state where this C library would")
    return slot, first


def _key(reader: Reader, place: int) -> int:
    """Raises Unfit, MemoryUnreadable."""
    made, key = struct.unpack("<iI", reader.read(place, 8))
    if made != 1 or key >= _MOST_KEYS:
        raise Unfit("Python has not begun")
    return int(key)


def interpreters(reader: Reader, runtime: int, layout: Layout) -> Iterator[int]:
    """The addresses of interpreter states, newest first: the main one is the last. Raises MemoryUnreadable."""
    seen, interpreter = 0, reader.pointer(runtime + layout.runtime.interpreters)
    while interpreter and seen < _MOST_INTERPRETERS:
        yield interpreter
        seen += 1
        interpreter = reader.pointer(interpreter + layout.runtime.interpreter_next)


def threads(reader: Reader, runtime: int, layout: Layout) -> Iterator[int]:
    """The addresses of thread states of all interpreters, newest first. Raises MemoryUnreadable."""
    at, seen = layout.runtime, 0
    for interpreter in interpreters(reader, runtime, layout):
        state = reader.pointer(interpreter + at.threads)
        while state and seen < _MOST_THREADS:
            yield state
            seen += 1
            state = reader.pointer(state + at.thread_next)
