"""Makes frames of generated code, with the symbols of a process's perf map."""

from __future__ import annotations

from typing import Callable, Optional

from tracer.model.frame import BlackBox, Frame
from tracer.stacks import language
from tracer.stacks.chain import Cursor
from tracer.stacks.languages.perfmap.symbols import PerfMap, Symbol
from tracer.stacks.target.process import Process

_MAX_NAMED = 20_000
ReadSymbol = Callable[[str], Optional[language.Symbol]]


class MapNames:
    """The perf map names of one process. ``read_symbol`` reads the symbol formats of all runtimes."""

    def __init__(self, process: Process, read_symbol: ReadSymbol) -> None:
        self._map = PerfMap(process)
        self._read_symbol = read_symbol
        self._is_fresh = False
        self._named: dict[tuple[int, bool, str], Optional[tuple[Frame, ...]]] = {}

    def begin(self, _box: BlackBox) -> None:
        """Start another stack. The map may have grown."""
        self._is_fresh = False

    def name(self, cursor: Cursor, module: str) -> Optional[tuple[Frame, ...]]:
        """Name the code at ``cursor``, in ``module``; None if the map has no name for it."""
        if not self._is_fresh:
            self._is_fresh = True
            if self._map.refresh() or len(self._named) > _MAX_NAMED:
                self._named.clear()
        key = (cursor.pc, cursor.is_return, module)
        if key not in self._named:
            symbol = self._map.find(cursor.lookup)
            self._named[key] = None if symbol is None else (frame(symbol, cursor.pc, module, self._read_symbol),)
        return self._named[key]


def frame(symbol: Symbol, pc: int, module: str, read_symbol: ReadSymbol) -> Frame:
    """Turn a symbol of a map into a frame. The runtime that wrote the symbol decides what it means."""
    offset = pc - symbol.start
    read = read_symbol(symbol.name)
    if read is None:
        return Frame(symbol.name, module, offset, pc=pc)
    return Frame(
        read.function, module, offset, file=read.file, line=read.line, language=read.language,
        internal=read.internal, pc=pc,
    )  # fmt: skip
