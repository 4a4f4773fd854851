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
            return _limited(name, sys.stdin.buffer.read(MOST_BYTES + 1))
        with open(name, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise ClosetraceError(f"{name}: it is a directory")
            if status.st_size > MOST_BYTES:
                raise _too_large(name)
            return _limited(name, file.read(MOST_BYTES + 1))
    except OSError as error:
        raise ClosetraceError(f"{name}: {error.strerror or error}") from None


def _limited(name: str, content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise _too_large(name)
    return content


def _too_large(name: str) -> ClosetraceError:
    return ClosetraceError(
        f"{name}: it is larger than {MOST_BYTES >> 20} MiB, the most that is read. Record less at once: "
        "a longer --linger, or --pid, --comm or --remote-port for each part"
    )


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
