"""Names as their authors wrote them: C++ and legacy Rust (both Itanium ABI, through libstdc++), Rust v0."""

from __future__ import annotations

import ctypes
import re
from functools import lru_cache
from typing import Any, Optional

from tracer.stacks.elf import libdw
from tracer.stacks.languages.rust.v0 import demangle_v0

_RUST_HASH = re.compile(r"::h[0-9a-f]{16}(?=$|[ .])")
_RUST_ESCAPES = {
    "$SP$": "@",
    "$BP$": "*",
    "$RF$": "&",
    "$LT$": "<",
    "$GT$": ">",
    "$LP$": "(",
    "$RP$": ")",
    "$C$": ",",
    "..": "::",
}
_RUST_ESCAPE = re.compile(r"\$u([0-9a-f]{1,6})\$|\$(?:SP|BP|RF|LT|GT|LP|RP|C)\$|\.\.")
_LONGEST = 4096


@lru_cache(maxsize=8192)
def demangle(name: str) -> str:
    """Demangle ``name``; a name that is not mangled, or that the library cannot demangle, is returned as it is."""
    if len(name) > _LONGEST:
        return name
    if name.startswith("_R"):
        return demangle_v0(name) or name
    if not name.startswith("_Z"):
        return name
    plain = _cxa_demangle(name)
    if plain is None:
        return name
    if _RUST_HASH.search(plain):
        return _rust(_RUST_HASH.sub("", plain, count=1))
    return plain


def _rust(name: str) -> str:
    def unescape(match: re.Match[str]) -> str:
        code = match.group(1)
        if code is None:
            return _RUST_ESCAPES[match.group(0)]
        return chr(int(code, 16)) if int(code, 16) < 0x110000 else match.group(0)

    # A path segment that would begin with "$" is given a leading underscore by rustc.
    return _RUST_ESCAPE.sub(unescape, re.sub(r"(^|::)_(?=\$)", r"\1", name))


def _cxa_demangle(name: str) -> Optional[str]:
    library = _libstdcxx()
    if library is None:
        return None
    status = ctypes.c_int()
    address = library.__cxa_demangle(name.encode("utf-8", "surrogateescape"), None, None, ctypes.byref(status))
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
