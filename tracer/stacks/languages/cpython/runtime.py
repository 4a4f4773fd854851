"""CPython in one process, as far as it names functions: made of its symbols and of its version's layout."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Callable, Optional

from tracer.model.frame import BlackBox, Frame
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Runtime, Target
from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.code import CodeReader, Types
from tracer.stacks.languages.cpython.codelayout import CODE_LAYOUTS, CodeLayout
from tracer.stacks.languages.cpython.layouts import Layout
from tracer.stacks.languages.cpython.lineage import inherit
from tracer.stacks.languages.cpython.names import Names
from tracer.stacks.languages.cpython.now import words_now
from tracer.stacks.languages.cpython.process import CPython, Unfit, find, interpreters, layout_of
from tracer.stacks.languages.cpython.unwinder import EvalLoops
from tracer.stacks.languages.cpython.upkeep import Upkeep
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_HINT = "python -X perf (3.12 and later) gives its functions names"
_NONE = "Python's functions were not copied at this call"
_NONE_OF_SEVERAL = f"{_NONE}: those of sub-interpreters are since 3.12"
_TOLD_OF_SEVERAL = 12
"""Since this minor version the slot of a thread has the state that runs. Before, it has the thread's first one."""


def runtime(target: Target) -> Optional[Runtime]:
    """The runtime of ``target``; None if there is no CPython that can be read (yet). Never raises."""
    found = find(target.process)
    if found is None:
        return None
    try:
        return _named(target, found, layout_of(found, target.process))
    except Unfit as unfit:
        return Runtime(unnamed=f"{unfit}: {_HINT}", interprets=_of_module(found))
    except (Nonsense, MemoryUnreadable):
        return None


def _named(target: Target, found: CPython, frames: Layout) -> Optional[Runtime]:
    """Raises Nonsense, MemoryUnreadable."""
    layout = CODE_LAYOUTS[found.minor]
    code, text, data = (found.symbol(name) for name in ("PyCode_Type", "PyUnicode_Type", "PyBytes_Type"))
    if code is None or text is None or data is None:
        return None
    ages = Ages(partial(_is_of_file, target.process))
    reader = Reader(target.process)
    counter = _counter(reader, found, frames, layout)
    several = found.minor < _TOLD_OF_SEVERAL and _are_several(reader, found, frames)
    was_swept = inherit(target.process, found, ages)
    upkeep = Upkeep(target.process, ages, code, layout, counter, was_swept=was_swept)
    names = Names(CodeReader(target.process, Types(code, text, data), layout), ages)
    loops = EvalLoops(target.native, names, found.minor, posixpath.basename(found.module))

    def begin(box: BlackBox) -> None:
        if box.words:
            upkeep.begin()
        elif box.ns is None:
            words, end = words_now(target.process, found, frames, box)
            box = replace(box, words=words, words_end=end)
        loops.begin(box)

    return Runtime(
        loops,
        begin=begin,
        finish=loops.finish,
        look=upkeep.look,
        unnamed=_NONE_OF_SEVERAL if several else _NONE,
        interprets=_of_module(found),
    )


def _of_module(found: CPython) -> Callable[[Frame], bool]:
    """Tells the interpreter's own frames."""
    module = posixpath.basename(found.module)
    return lambda frame: frame.module == module


def _is_of_file(process: Process, address: int) -> bool:
    mapping = process.mapping(address)
    return mapping is not None and mapping.is_file


def _counter(reader: Reader, found: CPython, frames: Layout, layout: CodeLayout) -> Optional[int]:
    """Where the counter of code objects is. Raises Nonsense, MemoryUnreadable.

    None if this version does not show it, or if there are several interpreters: each counts its own.
    """
    interpreter = reader.pointer(found.runtime + frames.runtime.interpreters)
    if layout.counter is None or not interpreter:
        return None
    return None if _are_several(reader, found, frames) else interpreter + layout.counter


def _are_several(reader: Reader, found: CPython, frames: Layout) -> bool:
    """Whether there are sub-interpreters. Raises MemoryUnreadable."""
    return len(list(islice(interpreters(reader, found.runtime, frames), 2))) > 1
