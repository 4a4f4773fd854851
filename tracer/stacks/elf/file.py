"""One ELF file as a libdwfl module. It is placed at its own link addresses, so no address needs a bias."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from tracer.machine import registers as arch
from tracer.stacks.elf import libdw
from tracer.stacks.elf.debugfiles import DebugFileFinder
from tracer.stacks.elf.facts import ElfFacts


class ElfFile:
    """Owns a descriptor and libdw's session on it. Both end with the last reference. ``module`` is a Dwfl_Module.

    The file is read, not mapped. A library may be overwritten in place: then access to a mapped page beyond its new end
    would kill us (SIGBUS).
    """

    def __init__(self, descriptor: int, facts: ElfFacts, path: str, finder: DebugFileFinder) -> None:
        """Take over ``descriptor``. Raises ValueError if libdw refuses the file."""
        callbacks = libdw.DwflCallbacks(_find_elf(descriptor, os.fsencode(path)), finder.callback, None, None)
        lib = libdw.load()
        dwfl = lib.dwfl_begin(ctypes.byref(callbacks))
        # The finalizer keeps the callbacks alive: libdw has pointers to them. At exit nothing has to be freed.
        weakref.finalize(self, _end, dwfl, descriptor, callbacks, finder).atexit = False
        self.module = _report(dwfl, os.fsencode(path), facts)
        bias = ctypes.c_uint64()
        # libdwfl calls find_elf at this first use only.
        if not self.module or not lib.dwfl_module_getelf(self.module, ctypes.byref(bias)):
            raise ValueError(os.fsdecode(lib.dwfl_errmsg(-1) or b"unknown error"))


def _report(dwfl: int, path: bytes, facts: ElfFacts) -> int:
    if not dwfl or not facts.segments:
        return 0
    start = min(segment.vaddr for segment in facts.segments) & -arch.PAGE_SIZE
    end = max(segment.vaddr + segment.memory_size for segment in facts.segments)
    lib = libdw.load()
    lib.dwfl_report_begin(dwfl)
    module = lib.dwfl_report_module(dwfl, path, start, (end | arch.PAGE_SIZE - 1) + 1)
    lib.dwfl_report_end(dwfl, None, None)
    return module or 0


def _find_elf(descriptor: int, path: bytes) -> Any:
    """Make the callback that gives libdwfl an ELF handle, which it then owns. -1: we keep the descriptor."""

    def find(_module: int, _data: int, _name: bytes, _base: int, file_name: Any, elf: Any) -> int:
        elf[0] = libdw.load_libelf().elf_begin(descriptor, libdw.ELF_C_READ, None)
        file_name[0] = libdw.libc().strdup(path)
        return -1

    return libdw.FindElf(find)


def _end(dwfl: int, descriptor: int, *_kept_alive: Any) -> None:
    if dwfl:
        libdw.load().dwfl_end(dwfl)
    os.close(descriptor)
