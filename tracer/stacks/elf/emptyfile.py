"""An ELF file whose debug information is empty."""

from __future__ import annotations

import os
import struct
from functools import lru_cache

from tracer.machine import registers as arch

_NAMES = b"\0.debug_frame\0.shstrtab\0"
_HEADER = 64
_SHT_PROGBITS, _SHT_STRTAB = 1, 3


def open_empty() -> int:
    """Open it: a descriptor. Raises OSError."""
    return os.dup(_made())


@lru_cache(maxsize=1)
def _made() -> int:
    """It is made in memory, once: a jailed process may not write, so there it is opened before."""
    descriptor = os.memfd_create("no-debug-file", os.MFD_CLOEXEC)
    os.write(descriptor, _contents())
    return descriptor


def _contents() -> bytes:
    """The file header, a .debug_frame of zeros (libdw wants a section of debug information), names, three sections."""
    frame, names = _HEADER, _HEADER + 16
    sections = names + len(_NAMES)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 1, arch.EM_MACHINE, 1, 0, 0, sections, 0, _HEADER, 0, 0, 64, 3, 2)
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 1, _SHT_PROGBITS, 0, 0, frame, 16, 0, 0, 1, 0)
    table += struct.pack("<IIQQQQIIQQ", 14, _SHT_STRTAB, 0, 0, names, len(_NAMES), 0, 0, 1, 0)
    return ident + header + bytes(16) + _NAMES + table
