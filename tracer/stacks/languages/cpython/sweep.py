"""Looks for all code objects in a process's memory: whoever is met later was there at that time.

For versions that do not show a counter of code objects. It reads memory once, from end to end, and believes nothing:
what it takes down of a place is only compared with a code object that is read there later.
"""

from __future__ import annotations

import struct

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.code import HASH, marks
from tracer.stacks.languages.cpython.codelayout import CodeLayout
from tracer.stacks.target.process import Process
from tracer.stacks.target.sweep import PIECE, pieces

_MOST_CODES = 100_000
_ALIGNED = 16
_TYPE = 8


def sweep(process: Process, code_type: int, layout: CodeLayout) -> dict[int, int]:
    """What is at each place that looks like a code object's, as :attr:`Code.known_by`, by address. Never raises."""
    found: dict[int, int] = {}
    hashes: dict[int, int] = {}
    pattern = struct.pack("<Q", code_type)
    for start, data in pieces(process, layout.size):
        at = data.find(pattern, _TYPE)
        while 0 <= at < PIECE + _TYPE and len(found) < _MOST_CODES:
            head = data[at - _TYPE : at - _TYPE + layout.size]
            if (start + at - _TYPE) % _ALIGNED == 0 and len(head) == layout.size:
                words = marks(head, layout)
                if words[0] not in hashes:
                    hashes[words[0]] = _hash(process, words[0])
                found[start + at - _TYPE] = hash((*words, hashes[words[0]]))
            at = data.find(pattern, at + _TYPE)
    return found


def _hash(process: Process, name: int) -> int:
    try:
        return int.from_bytes(process.read(name + HASH, 8), "little")
    except MemoryUnreadable:
        return 0
