"""Gets the verifier's whole log of one program. The buffer grows until the log fits."""

from __future__ import annotations

import ctypes as ct
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

REFUSALS, EVERYTHING = 1, 2 | 4
"""Log levels (include/linux/bpf_verifier.h). BPF_LOG_LEVEL1 shows the path that was refused. BPF_LOG_LEVEL2 shows every
instruction on every path, BPF_LOG_STATS shows how much work the verifier had.
"""
_SIZES = (1 << 20, 1 << 24, 1 << 26, 1 << 28)
"""Bytes. The kernel takes up to a gigabyte (since Linux 5.2, 7a9f5c65abcc)."""

Log = ct.Array[ct.c_char]
Load = Callable[[Optional[Log], int], int]
"""Loads the program with a log buffer (None: no log) and a log level. Returns its descriptor. Raises OSError."""


@dataclass(frozen=True)
class Verified:
    """``refused`` is the errno of the load, None if it was accepted. ``whole`` is False if ``log`` was cut."""

    log: str
    refused: Optional[int]
    whole: bool

    @property
    def reason(self) -> str:
        """The reason in one line: in a log of level REFUSALS the line before the statistics, else the errno text."""
        said = [line for line in self.log.splitlines() if line.strip()]
        return said[-2] if len(said) > 1 else os.strerror(self.refused or 0)


def verify(load: Load, level: int) -> Verified:
    """Load the program once more to get the log, then free it. The kernel returns ENOSPC if a buffer is too small."""
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
