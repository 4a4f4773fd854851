"""Java stacks of an unmodified HotSpot JVM: no agent, no flag, no attach.

Everything comes from the tables that libjvm exports for debuggers (vmStructs) and from the process's memory.
"""

from __future__ import annotations

from functools import partial
from typing import Optional

from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder
from tracer.stacks.languages.java.jvm import Jvm, open_jvm
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.languages.java.reader import Nonsense
from tracer.stacks.languages.java.unwinder import HotSpotUnwinder
from tracer.stacks.target.process import Mapping, Process


def unwinder(process: Process, libjvm: Mapping) -> Optional[Unwinder]:
    """The unwinder for ``process``, which has ``libjvm`` loaded; None if that is no HotSpot. Never raises.

    A JVM that cannot be read has an unwinder too: one that ends each stack at generated code and says why.
    """
    jvm, reason = _open(process, libjvm)
    if jvm is not None:
        return HotSpotUnwinder(jvm, partial(_is_generated, process))
    return _Unread(process, libjvm) if reason else None


class _Unread:
    """A JVM that could not be read yet: it may still be starting, so each stack is another try."""

    def __init__(self, process: Process, libjvm: Mapping) -> None:
        self._process = process
        self._libjvm = libjvm
        self._unwinder: Optional[HotSpotUnwinder] = None

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        if self._unwinder is not None:
            return self._unwinder.step(cursor, memory)
        if not _is_generated(self._process, cursor.lookup):
            return None
        jvm, reason = _open(self._process, self._libjvm)
        if jvm is None:
            return Step((), None, stop=reason)
        self._unwinder = HotSpotUnwinder(jvm, partial(_is_generated, self._process))
        return self._unwinder.step(cursor, memory)


def _open(process: Process, libjvm: Mapping) -> tuple[Optional[Jvm], str]:
    """The JVM, or None and why; the reason is empty if it is not a HotSpot."""
    try:
        return open_jvm(process, libjvm.start), ""
    except MissingTables as missing:
        return None, f"this JVM's tables lack {missing}"
    except (MemoryUnreadable, Nonsense) as error:
        return None, f"the JVM could not be read: {error}"


def _is_generated(process: Process, address: int) -> bool:
    mapping = process.mapping(address)
    # Anonymous memory may have a name ("[anon:...]"); [vdso] and [vsyscall] have one too.
    return mapping is not None and mapping.executable and not mapping.is_file and mapping.path[:2] != "[v"
