"""The memory of a process that objects of a runtime may be in, piece by piece. Bounded; nothing of it is believed."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process

PIECE = 1 << 20
"""Bytes from the start of one piece to that of the next one in a mapping."""
_MOST_BYTES = 256 << 20
_LARGEST_MAPPING = 64 << 20
_HEAP = "[heap]"


def pieces(process: Process, more: int) -> Iterator[tuple[int, bytes]]:
    """Address and content of each piece that can be read; each has ``more`` bytes of the next one. Never raises."""
    left = _MOST_BYTES
    for mapping in process.mappings:
        if not _has_objects(mapping) or mapping.end - mapping.start > left:
            continue
        left -= mapping.end - mapping.start
        for start in range(mapping.start, mapping.end, PIECE):
            try:
                yield start, process.read(start, min(PIECE + more, mapping.end - start))
            except MemoryUnreadable:
                continue


def _has_objects(mapping: Mapping) -> bool:
    if mapping.is_file or not mapping.perms.startswith("rw-p"):
        return False
    return mapping.path == _HEAP or (not mapping.path and mapping.end - mapping.start <= _LARGEST_MAPPING)
