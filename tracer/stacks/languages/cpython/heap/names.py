"""Names for references of C types that say none themselves, and which keys of dicts may be shown."""

from __future__ import annotations

import re

NAMES = {
    ("function", 16): "__globals__",
    ("function", 56): "__defaults__",
    ("function", 64): "__kwdefaults__",
    ("function", 72): "__closure__",
    ("cell", 16): "cell_contents",
    ("method", 16): "__func__",
    ("method", 24): "__self__",
    ("builtin_function_or_method", 24): "__self__",
    ("method-wrapper", 24): "__self__",
    ("functools.partial", 16): "func",
    ("functools.partial", 24): "args",
    ("functools.partial", 32): "keywords",
    ("_io.BufferedReader", 16): "raw",
    ("_io.BufferedWriter", 16): "raw",
    ("_io.BufferedRWPair", 16): "reader",
    ("_io.TextIOWrapper", 24): "buffer",
    ("_asyncio.Task", 120): "_coro",
    ("_asyncio.Task", 128): "_coro",
    ("property", 16): "fget",
    ("staticmethod", 16): "__func__",
    ("classmethod", 16): "__func__",
}
"""By the type's name in C and the offset. Source: the structures in Include and in Modules of CPython 3.11 to 3.15."""

_LONGEST_KEY = 40
_HOST = re.compile(
    r"(?:[a-z][a-z0-9+.-]{1,9}://)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9-]{1,63})+|localhost)"
    r"(?::\d{1,5})?/?|[a-z]{2,8}://"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_]{0,39}")


def shown_key(text: str) -> str:
    """``[name]`` for an identifier or a host, ``[]`` for all else: a key may be somebody's data."""
    if len(text) <= _LONGEST_KEY and (_IDENTIFIER.fullmatch(text) or _HOST.fullmatch(text)):
        return f"[{text}]"
    return "[]"
