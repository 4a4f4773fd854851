"""Finds V8 in a process that has files of Node.js mapped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Target
from tracer.stacks.languages.node.layout import NotV8, read_layout
from tracer.stacks.languages.node.unwinder import V8Unwinder
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.process import Mapping
from tracer.stacks.target.reader import Nonsense, Reader


def unwinder(target: Target, files: Iterable[Mapping]) -> Optional[V8Unwinder]:
    """The unwinder for the first of ``files`` that has V8 in it; None if none has one whose layout is known."""
    reader = Reader(target.process)
    for mapping in files:
        if mapping.offset:
            continue
        try:
            layout = read_layout(reader, LoadedObject(reader, mapping.start))
        except (NotV8, Nonsense, MemoryUnreadable):
            continue
        if layout is not None:
            return V8Unwinder(target, mapping, layout)
    return None
