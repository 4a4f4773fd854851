"""Code beside Python that makes sockets of its own: a database driver's client library, for one.

Such code has no socket objects. Where there is none of it, an object's number can only be another object's by now. Code
that calls connect has the name among those that it needs of other files (System V gABI, "Symbol Table").
"""

from __future__ import annotations

import re

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_NEEDED = "connect"
_KNOWN = re.compile(
    r"(?:lib)?python3[^/]*|_socket\.[^/]*|ld[-.][^/]*|lib(?:c|m|dl|rt|pthread|ssl|crypto|resolv|nss_\w+)[-.][^/]*"
    r"|libuv[-.][^/]*|lib(?:uuid|systemd|dbus-1|xcb)\.[^/]*|lib(?:xml2|krb5)\.[^/]*"
)
"""Python itself, the C library, TLS, which is given its sockets, and libuv, whose sockets uvloop's transports have.
Then those whose sockets are of unix, and those that close them within a call.
"""
_UVLOOP = "/uvloop/"
_MOST = 2000


def with_sockets(process: Process, python: str) -> str:
    """The name of a file whose code may make sockets, beside that of CPython (``python``); empty if there is none."""
    reader = Reader(process)
    for mapping in [one for one in process.mappings if one.is_file and one.offset == 0][:_MOST]:
        name = mapping.path.rpartition("/")[2]
        if mapping.path == python or _UVLOOP in mapping.path or _KNOWN.fullmatch(name) or ".so" not in name:
            continue
        try:
            if LoadedObject(reader, mapping.start).needs(_NEEDED):
                return name
        except (Nonsense, MemoryUnreadable):
            continue
    return ""
