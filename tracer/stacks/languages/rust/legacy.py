"""Demangles Rust names from before v0: Itanium ABI names with a hash at the end, and escapes for other characters."""

from __future__ import annotations

import re
from typing import Optional

from tracer.stacks.elf import itanium

_HASH = re.compile(r"::h[0-9a-f]{16}(?=$|[ .])")
_COPY = re.compile(r"(?<=17h[0-9a-f]{16}E)\.[\w.]+$")
"""What LLVM adds to the name of a copy or of a part: ``.llvm.123``, ``.cold``. No demangler of C++ takes it here."""
_ESCAPES = {
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
_ESCAPE = re.compile(r"\$u([0-9a-f]{1,6})\$|\$(?:SP|BP|RF|LT|GT|LP|RP|C)\$|\.\.")


def demangle_legacy(symbol: str) -> Optional[str]:
    """Demangle ``symbol``; None if it has no hash, because then it is C++."""
    plain = itanium.demangle(_COPY.sub("", symbol))
    if plain is None or not _HASH.search(plain):
        return None
    # rustc puts an underscore before a path segment that starts with "$".
    return _ESCAPE.sub(_unescape, re.sub(r"(^|::)_(?=\$)", r"\1", _HASH.sub("", plain, count=1)))


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if code is None:
        return _ESCAPES[match.group(0)]
    return chr(int(code, 16)) if int(code, 16) < 0x110000 else match.group(0)
