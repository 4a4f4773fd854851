"""Files that a command reads and writes by their names on the command line."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from typing import Union

from tracer.errors import ClosetraceError

MOST_BYTES = 256 << 20
"""The largest recorded report that is read. It has some 80,000 sockets, and takes several times as much memory."""


def read(name: str) -> bytes:
    """The whole content; ``-`` is stdin. Raises ClosetraceError, also for directories and files that are too large."""
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(name, "rb") as file:
                if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                    raise ClosetraceError(f"{name}: it is a directory")
                content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ClosetraceError(f"{name}: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise ClosetraceError(f"{name}: it is larger than {MOST_BYTES >> 20} MiB")
    return content


def write(name: str, pieces: Iterable[Union[str, bytes]]) -> None:
    """Write to the file, or to stdout if ``name`` is ``-``. The file appears whole or not at all."""
    if name == "-":
        for piece in pieces:
            sys.stdout.buffer.write(_bytes(piece))
        sys.stdout.buffer.flush()
        return
    if os.path.exists(name) and not os.path.isfile(name):  # a device or a pipe
        with open(name, "wb") as file:
            file.writelines(map(_bytes, pieces))
        return
    folder, base = os.path.split(name)
    number, path = tempfile.mkstemp(prefix=f".{base}.", dir=folder or ".")
    try:
        with open(number, "wb") as file:
            file.writelines(map(_bytes, pieces))
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
        os.replace(path, name)
    except BaseException:
        os.unlink(path)
        raise


def _bytes(piece: Union[str, bytes]) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode("utf-8", "backslashreplace")
