"""Large pieces go back to the kernel although something that was made later stays."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from tracer.host.allocator import give_memory_back, spare_memory

def anonymous_mb():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) / 1024

if sys.argv[1] == "spare":
    spare_memory()
first = bytearray(b"x" * (30 << 20))
del first
before = anonymous_mb()
pieces = [bytearray(b"x" * (1 << 20)) for _ in range(64)]
del pieces[:-1]
grown = anonymous_mb() - before
give_memory_back()
print(grown)
"""


def _grown_mb(how: str) -> float:
    words = [sys.executable, "-c", _PROGRAM, how]
    return float(subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt(3)")
def test_large_pieces_are_given_back_at_once() -> None:
    """By what the process holds afterwards, as the kernel counts it."""
    assert _grown_mb("usual") > 50
    assert _grown_mb("spare") < 5
