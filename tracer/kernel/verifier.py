"""What the kernel's verifier says of one program, whole: the buffer grows until all of it fits."""

from __future__ import annotations

import ctypes as ct
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

REFUSALS, EVERYTHING = 1, 2 | 4
"""Log levels (include/linux/bpf_verifier.h). BPF_LOG_LEVEL1 tells the path that was refused. BPF_LOG_LEVEL2 tells every
instruction on every path, BPF_LOG_STATS the effort.
"""
_SIZES = (1 << 20, 1 << 24, 1 << 26, 1 << 28)
"""Bytes. The kernel takes up to a gigabyte (since Linux 5.2, 7a9f5c65abcc)."""

Log = ct.Array[ct.c_char]
Load = Callable[[Optional[Log], int], int]
"""Loads the program, with this buffer (None: no log is wanted) and log level; its descriptor. Raises OSError."""


@dataclass(frozen=True)
class Verified:
    """``refused`` is the errno of the load, None if it was accepted. ``whole``: nothing of ``log`` was cut."""

    log: str
    refused: Optional[int]
    whole: bool

    @property
    def reason(self) -> str:
        """Why, in one line, from a log of level REFUSALS: the line before the statistics, else the errno's text."""
        said = [line for line in self.log.splitlines() if line.strip()]
        return said[-2] if len(said) > 1 else os.strerror(self.refused or 0)


def verify(load: Load, level: int) -> Verified:
    """Load once more for the log; what was loaded is freed. A kernel answers ENOSPC while the buffer is too small."""
    for size in _SIZES:
        buffer = ct.create_string_buffer(size)
        refused = None
        try:
            os.close(load(buffer, level))
        except OSError as error:
            refused = error.errno
        if refused != errno.ENOSPC:
            break
    return Verified(buffer.value.decode(errors="replace"), refused, refused != errno.ENOSPC)
