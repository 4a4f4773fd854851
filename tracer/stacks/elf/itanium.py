"""Demangles names of the Itanium C++ ABI (``_Z...``) with libstdc++."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, Optional

from tracer.stacks.elf import libdw


def demangle(symbol: str) -> Optional[str]:
    """Demangle ``symbol``; None if it is not such a name, if libstdc++ cannot read it, or if libstdc++ is missing."""
    if not symbol.startswith("_Z"):
        return None
    library = _libstdcxx()
    if library is None:
        return None
    status = ctypes.c_int()
    address = library.__cxa_demangle(symbol.encode("utf-8", "surrogateescape"), None, None, ctypes.byref(status))
    if not address:
        return None
    try:
        return ctypes.string_at(address).decode("utf-8", "replace")
    finally:
        libdw.libc().free(address)


@lru_cache(maxsize=1)
def _libstdcxx() -> Any:
    try:
        library = ctypes.CDLL("libstdc++.so.6")
        function = library.__cxa_demangle
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    return library
