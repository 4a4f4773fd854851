"""One running HotSpot: its code cache, compiled methods and metaspace. Opened once for each process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional

from tracer.stacks.languages.java.codecache import CodeCache
from tracer.stacks.languages.java.layout import Layout, build_layout
from tracer.stacks.languages.java.methods import Methods
from tracer.stacks.languages.java.nmethod import Nmethods
from tracer.stacks.languages.java.tables import read_tables
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.reader import Reader, Source

_CACHED_BUILDS = 16

# By the linker's build-id, which is the same in all processes and containers that run this build.
_layouts: OrderedDict[bytes, Layout] = OrderedDict()


@dataclass(frozen=True)
class Jvm:
    """The parts of a JVM that the unwinder reads."""

    layout: Layout
    code: CodeCache
    nmethods: Nmethods
    methods: Methods


def open_jvm(source: Source, libjvm_start: int) -> Optional[Jvm]:
    """The JVM whose libjvm.so is loaded at ``libjvm_start``; None if it exports no tables, so it is not HotSpot.

    Raises MissingTables if the tables are not complete, MemoryUnreadable and Nonsense.
    """
    reader = Reader(source)
    libjvm = LoadedObject(reader, libjvm_start)
    layout = _layout(reader, libjvm)
    if layout is None:
        return None
    return Jvm(
        layout=layout,
        code=CodeCache(reader, layout, libjvm.bias),
        nmethods=Nmethods(reader, layout),
        methods=Methods(reader, layout),
    )


def _layout(reader: Reader, libjvm: LoadedObject) -> Optional[Layout]:
    build = libjvm.build_id()
    known = _layouts.get(build)
    if known is not None:
        return known
    tables = read_tables(reader, libjvm)
    if tables is None:
        return None
    layout = build_layout(tables)
    if build:
        _layouts[build] = layout
        while len(_layouts) > _CACHED_BUILDS:
            _layouts.popitem(last=False)
    return layout
