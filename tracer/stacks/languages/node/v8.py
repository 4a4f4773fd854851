"""Finds V8 in a process that has files of Node.js mapped."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import ENTRY_BYTES, Target
from tracer.stacks.languages.node.layout import Layout, NotV8, read_layout
from tracer.stacks.languages.node.unwinder import V8Unwinder
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_MOST_READS = 24
"""How many functions are read at a touch: some 120 ns each. Those of Node.js itself are the first 4 to 12."""


def unwinder(target: Target, files: Iterable[Mapping]) -> Optional[V8Unwinder]:
    """The unwinder for the V8 in one of ``files``; None if there is none whose layout is known."""
    found = _find(target.process, files)
    return V8Unwinder(target, *found) if found is not None else None


def kernel_entry(process: Process, files: Iterable[Mapping]) -> Optional[bytes]:
    """What bpf/languages/node.bpf.c needs, in its order; None if there is no V8 whose layout is known."""
    found = _find(process, files)
    if found is None:
        return None
    layout = found[1]
    exits = 0 if layout.keeps_frame_pointers else sum(1 << kind for kind in layout.exits)
    return struct.pack("<3Q", layout.shared, _MOST_READS, exits).ljust(ENTRY_BYTES, b"\0")


def _find(process: Process, files: Iterable[Mapping]) -> Optional[tuple[Mapping, Layout]]:
    reader = Reader(process)
    for mapping in files:
        try:
            layout = read_layout(reader, LoadedObject(reader, mapping.start))
        except (NotV8, Nonsense, MemoryUnreadable):
            continue
        if layout is not None:
            return mapping, layout
    return None
