"""Looks for all code objects in a process's memory: whoever is met later was there at that time.

For versions that do not show a counter of code objects. It reads memory once, from end to end, and believes nothing:
what it takes down of a place is only compared with a code object that is read there later.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.code import HASH, marks
from tracer.stacks.languages.cpython.codelayout import CodeLayout
from tracer.stacks.target.process import Mapping, Process

_MOST_BYTES = 256 << 20
_LARGEST_MAPPING = 64 << 20
_MOST_CODES = 100_000
_CHUNK = 1 << 20
_ALIGNED = 16
_TYPE = 8
_HEAP = "[heap]"


def sweep(process: Process, code_type: int, layout: CodeLayout) -> dict[int, int]:
    """What is at each place that looks like a code object's, as :attr:`Code.known_by`, by address. Never raises."""
    found: dict[int, int] = {}
    hashes: dict[int, int] = {}
    pattern = struct.pack("<Q", code_type)
    for start, data in _chunks(process, layout.size):
        at = data.find(pattern, _TYPE)
        while 0 <= at < _CHUNK + _TYPE and len(found) < _MOST_CODES:
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


def _chunks(process: Process, more: int) -> Iterator[tuple[int, bytes]]:
    """The memory that objects may be in, piece by piece; each has ``more`` bytes of the next one."""
    left = _MOST_BYTES
    for mapping in process.mappings:
        if not _has_objects(mapping) or mapping.end - mapping.start > left:
            continue
        left -= mapping.end - mapping.start
        for start in range(mapping.start, mapping.end, _CHUNK):
            try:
                yield start, process.read(start, min(_CHUNK + more, mapping.end - start))
            except MemoryUnreadable:
                continue


def _has_objects(mapping: Mapping) -> bool:
    if mapping.is_file or not mapping.perms.startswith("rw-p"):
        return False
    return mapping.path == _HEAP or (not mapping.path and mapping.end - mapping.start <= _LARGEST_MAPPING)
