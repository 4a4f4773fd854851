"""CPython in one process, as far as it names functions: made of its symbols and of its version's layout."""

from __future__ import annotations

from typing import Optional

from tracer.model.frame import BlackBox
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Runtime, Target
from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.code import CodeReader, Types
from tracer.stacks.languages.cpython.codelayout import CODE_LAYOUTS, CodeLayout
from tracer.stacks.languages.cpython.names import Names
from tracer.stacks.languages.cpython.process import CPython, find
from tracer.stacks.languages.cpython.unwinder import EvalLoops
from tracer.stacks.languages.cpython.upkeep import Upkeep
from tracer.stacks.target.reader import Nonsense, Reader

_HEAD = {13: 632, 14: 808}
_NEXT = {13: 7264, 14: 7272}


def runtime(target: Target) -> Optional[Runtime]:
    """The runtime of ``target``; None if there is no CPython whose layout is known (yet). Never raises."""
    try:
        found = find(target.process)
        layout = CODE_LAYOUTS.get(found.minor) if found is not None else None
        if found is None or layout is None:
            return None
        places = [found.symbol(name) for name in ("PyCode_Type", "PyUnicode_Type", "PyBytes_Type")]
        counter = _counter(Reader(target.process), found, layout)
    except (Nonsense, MemoryUnreadable):
        return None
    code, text, data = places
    if code is None or text is None or data is None:
        return None
    ages = Ages()
    upkeep = Upkeep(target.process, ages, code, layout, counter)
    loops = EvalLoops(
        target.native,
        Names(CodeReader(target.process, Types(code, text, data), layout), ages),
        found.minor,
        found.module,
    )

    def begin(box: BlackBox) -> None:
        if box.words:
            upkeep.begin()
        loops.begin(box)

    return Runtime(loops, begin=begin, finish=loops.finish)


def _counter(reader: Reader, found: CPython, layout: CodeLayout) -> Optional[int]:
    """Where the counter of code objects is. Raises Nonsense, MemoryUnreadable.

    None if this version does not show it, or if there are several interpreters: each counts its own.
    """
    runtime = found.symbol("_PyRuntime")
    if layout.counter is None or runtime is None:
        return None
    interpreter = reader.pointer(runtime + _HEAD[found.minor])
    if not interpreter or reader.pointer(interpreter + _NEXT[found.minor]):
        return None
    return interpreter + layout.counter
