"""ctypes bindings for the functions of elfutils' libdw that we use. elfutils 0.170 has all of them.

The signatures are those of <elfutils/libdw.h> and <elfutils/libdwfl.h>. The import of this module loads
nothing. The first call of :func:`load` loads the library.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint32, c_uint64, c_void_p
from functools import lru_cache

from tracer.errors import HostUnsupported


class DwarfOp(ctypes.Structure):
    """Dwarf_Op: one operation of a DWARF expression."""

    _fields_ = (("atom", c_ubyte), ("number", c_uint64), ("number2", c_uint64), ("offset", c_uint64))


class DwarfDie(ctypes.Structure):
    """Dwarf_Die. In some calls the caller allocates it."""

    _fields_ = (
        ("addr", c_void_p),
        ("cu", c_void_p),
        ("abbrev", c_void_p),
        ("padding", ctypes.c_long),
    )


class DwarfAttribute(ctypes.Structure):
    """Dwarf_Attribute. The caller allocates it."""

    _fields_ = (("code", c_uint), ("form", c_uint), ("valp", c_void_p), ("cu", c_void_p))


class GElfSym(ctypes.Structure):
    """GElf_Sym, the same as Elf64_Sym."""

    _fields_ = (
        ("st_name", c_uint32),
        ("st_info", c_ubyte),
        ("st_other", c_ubyte),
        ("st_shndx", ctypes.c_uint16),
        ("st_value", c_uint64),
        ("st_size", c_uint64),
    )


FindElf = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_char_p, c_uint64, POINTER(c_void_p), POINTER(c_void_p))
FindDebuginfo = ctypes.CFUNCTYPE(
    c_int, c_void_p, c_void_p, c_void_p, c_uint64, c_char_p, c_char_p, c_uint32, POINTER(c_void_p)
)


class DwflCallbacks(ctypes.Structure):
    """Dwfl_Callbacks. It must live as long as the Dwfl that uses it."""

    _fields_ = (
        ("find_elf", FindElf),
        ("find_debuginfo", FindDebuginfo),
        ("section_address", c_void_p),
        ("debuginfo_path", c_void_p),
    )


ELF_C_READ = 1
_EV_CURRENT = 1

DW_TAG_INLINED_SUBROUTINE = 0x1D
DW_TAG_SUBPROGRAM = 0x2E
DW_AT_CALL_FILE = 0x58
DW_AT_CALL_LINE = 0x59
DW_AT_LINKAGE_NAME = 0x6E
DW_AT_MIPS_LINKAGE_NAME = 0x2007

_U64P = POINTER(c_uint64)
_DIEP = POINTER(DwarfDie)
_ATTRP = POINTER(DwarfAttribute)

_SIGNATURES = {
    "dwfl_begin": (c_void_p, [POINTER(DwflCallbacks)]),
    "dwfl_end": (None, [c_void_p]),
    "dwfl_report_begin": (None, [c_void_p]),
    "dwfl_report_module": (c_void_p, [c_void_p, c_char_p, c_uint64, c_uint64]),
    "dwfl_module_getelf": (c_void_p, [c_void_p, _U64P]),
    "dwfl_report_end": (c_int, [c_void_p, c_void_p, c_void_p]),
    "dwfl_errmsg": (c_char_p, [c_int]),
    "dwfl_module_info": (
        c_char_p,
        [c_void_p, c_void_p, _U64P, _U64P, _U64P, _U64P, POINTER(c_char_p), POINTER(c_char_p)],
    ),
    "dwfl_module_eh_cfi": (c_void_p, [c_void_p, _U64P]),
    "dwfl_module_dwarf_cfi": (c_void_p, [c_void_p, _U64P]),
    "dwfl_module_addrinfo": (
        c_char_p,
        [c_void_p, c_uint64, _U64P, POINTER(GElfSym), POINTER(c_uint32), c_void_p, _U64P],
    ),
    "dwfl_module_addrdie": (_DIEP, [c_void_p, c_uint64, _U64P]),
    "dwfl_module_nextcu": (_DIEP, [c_void_p, _DIEP, _U64P]),
    "dwarf_getsrc_die": (c_void_p, [_DIEP, c_uint64]),
    "dwarf_linesrc": (c_char_p, [c_void_p, _U64P, _U64P]),
    "dwarf_lineno": (c_int, [c_void_p, POINTER(c_int)]),
    "dwarf_haspc": (c_int, [_DIEP, c_uint64]),
    "dwarf_getscopes": (c_int, [_DIEP, c_uint64, POINTER(_DIEP)]),
    "dwarf_getscopes_die": (c_int, [_DIEP, POINTER(_DIEP)]),
    "dwarf_child": (c_int, [_DIEP, _DIEP]),
    "dwarf_siblingof": (c_int, [_DIEP, _DIEP]),
    "dwarf_tag": (c_int, [_DIEP]),
    "dwarf_diename": (c_char_p, [_DIEP]),
    "dwarf_attr": (_ATTRP, [_DIEP, c_uint, _ATTRP]),
    "dwarf_attr_integrate": (_ATTRP, [_DIEP, c_uint, _ATTRP]),
    "dwarf_formstring": (c_char_p, [_ATTRP]),
    "dwarf_formudata": (c_int, [_ATTRP, _U64P]),
    "dwarf_getsrcfiles": (c_int, [_DIEP, POINTER(c_void_p), POINTER(c_size_t)]),
    "dwarf_filesrc": (c_char_p, [c_void_p, c_size_t, _U64P, _U64P]),
    "dwarf_diecu": (_DIEP, [_DIEP, _DIEP, c_void_p, c_void_p]),
    "dwarf_cfi_addrframe": (c_int, [c_void_p, c_uint64, POINTER(c_void_p)]),
    "dwarf_frame_info": (c_int, [c_void_p, _U64P, _U64P, POINTER(c_bool)]),
    "dwarf_frame_cfa": (c_int, [c_void_p, POINTER(POINTER(DwarfOp)), POINTER(c_size_t)]),
    "dwarf_frame_register": (
        c_int,
        [c_void_p, c_int, POINTER(DwarfOp), POINTER(POINTER(DwarfOp)), POINTER(c_size_t)],
    ),
}


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """Load libdw and declare the signatures. Raises HostUnsupported; the text names the package to install."""
    try:
        libdw = ctypes.CDLL("libdw.so.1")
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(libdw, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise HostUnsupported(
            f"elfutils' libdw cannot be used ({error}): install libdw1 (Debian, Ubuntu) or elfutils-libs (Fedora, RHEL)"
        ) from None
    return libdw


@lru_cache(maxsize=1)
def load_libelf() -> ctypes.CDLL:
    """Load libelf. It is always there with libdw, which needs it."""
    library = ctypes.CDLL("libelf.so.1")
    library.elf_version.argtypes = [c_uint]
    library.elf_begin.argtypes = [c_int, c_int, c_void_p]
    library.elf_begin.restype = c_void_p
    library.elf_errmsg.restype = c_char_p
    library.elf_version(_EV_CURRENT)
    return library


def raise_if_out_of_memory() -> None:
    """Raise MemoryError if libelf could not get memory since the last call.

    libdw takes a section that could not be read for one that is not there, and names come without it.
    """
    library = load_libelf()
    error = library.elf_errno()
    if error and library.elf_errmsg(error) == b"out of memory":
        raise MemoryError


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """Load the C library. Its free() and strdup() match the allocations of libdw."""
    library = ctypes.CDLL(None)
    library.free.argtypes = [c_void_p]
    library.free.restype = None
    library.strdup.argtypes = [c_char_p]
    library.strdup.restype = c_void_p
    return library
