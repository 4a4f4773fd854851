"""Ruby in one process, as far as it names methods and blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from tracer.model.frame import BlackBox
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.language import Runtime, Target
from tracer.stacks.languages.ruby import is_runtime
from tracer.stacks.languages.ruby.ages import Ages
from tracer.stacks.languages.ruby.iseqs import Iseqs
from tracer.stacks.languages.ruby.names import Names
from tracer.stacks.languages.ruby.now import words_of
from tracer.stacks.languages.ruby.process import Unfit, find
from tracer.stacks.languages.ruby.unwinder import RubyLoops
from tracer.stacks.languages.ruby.upkeep import Upkeep
from tracer.stacks.languages.ruby.values import Values
from tracer.stacks.target.reader import Nonsense, Reader

_NONE_TAKEN = "Ruby methods run here that have no names: closetrace did not know this process yet"


def runtime(target: Target) -> Optional[Runtime]:
    """The runtime of ``target``; None if there is no Ruby that can be read (yet). Never raises."""
    try:
        found = find(target.process)
    except Unfit as unfit:
        return Runtime(unnamed=f"Ruby methods run here that have no names: {unfit}", interprets=is_runtime)
    except (Nonsense, MemoryUnreadable):
        return None
    if found is None:
        return None
    reader = Reader(target.process)
    ages = Ages(reader, found)
    upkeep = Upkeep(target.process, ages, found.layout)
    names = Names(Iseqs(Values(reader, found.layout), found.layout, found.symbols), ages)
    loops = RubyLoops(target.native, reader, found, names)

    def begin(box: BlackBox) -> None:
        if box.words:
            upkeep.begin()
        elif box.ns is None:
            words, end = words_of(target.process, found, box)
            box = replace(box, words=words, words_end=end)
        loops.begin(box)

    return Runtime(
        loops, begin=begin, finish=loops.finish, look=upkeep.begin, unnamed=_NONE_TAKEN, interprets=is_runtime
    )
