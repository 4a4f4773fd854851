"""What was known of a process's code objects when it forked is known of its child, too: the child's memory is a copy.

A server that forks for each request, or that starts its workers anew, has nothing but young processes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Optional

from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.process import CPython
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense, Reader

_SECRET, _SECRET_BYTES = "_Py_HashSecret", 24
"""Random bytes that each interpreter makes when it starts, unless PYTHONHASHSEED is 0."""
_MOST = 64


class _Known(NamedTuple):
    """``program`` is equal in a process and those that it forked, until an exec."""

    start_ns: int
    program: tuple[bytes, int, int]
    ages: Ages


_known: OrderedDict[int, _Known] = OrderedDict()


def inherit(process: Process, found: CPython, ages: Ages) -> bool:
    """Give ``ages``, which are of ``process`` and new, what its parent's tell from before the fork. Never raises.

    True if its memory does not have to be swept for that.
    """
    program = _program(process, found)
    if program is None:
        return False
    parent, began_ns = _known.get(_parent(process)), process.began_ns
    is_child = parent is not None and parent.program == program and parent.start_ns <= began_ns
    was_swept = parent is not None and is_child and ages.inherit(parent.ages, began_ns)
    _known[process.pid] = _Known(began_ns, program, ages)
    if len(_known) > _MOST:
        _known.popitem(last=False)
    return was_swept


def _parent(process: Process) -> int:
    words = process.status_field("PPid")
    return int(words[0]) if words and words[0].isdigit() else 0


def _program(process: Process, found: CPython) -> Optional[tuple[bytes, int, int]]:
    """What tells one exec from another: random bytes, and where the stack and the interpreter lie."""
    stack = next((mapping.end for mapping in process.mappings if mapping.path == "[stack]"), 0)
    try:
        secret = found.symbol(_SECRET)
        random = Reader(process).read(secret, _SECRET_BYTES) if secret is not None else b""
    except (Nonsense, MemoryUnreadable):
        return None
    return (random, stack, found.runtime) if any(random) and stack else None
