"""Java stacks of an unmodified HotSpot JVM: no agent, no flag, no attach.

Everything comes from the tables that libjvm exports for debuggers (vmStructs) and from the process's memory.
"""

from __future__ import annotations

from typing import Optional

from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder
from tracer.stacks.hotspot.jvm import open_jvm
from tracer.stacks.hotspot.layout import MissingTables
from tracer.stacks.hotspot.reader import Nonsense
from tracer.stacks.hotspot.unwinder import HotSpotUnwinder
from tracer.stacks.process import Mapping, Process


def for_process(process: Process) -> Optional[Unwinder]:
    """The unwinder for ``process``; None while no HotSpot is loaded in it. Never raises.

    A JVM that cannot be read has an unwinder too: one that ends each stack at generated code and says why.
    """
    libjvm = _libjvm(process)
    if libjvm is None:
        return None
    try:
        jvm = open_jvm(process, libjvm.start)
    except MissingTables as missing:
        return _Unreadable(process, f"this JVM's tables lack {missing}")
    except (MemoryUnreadable, Nonsense) as error:
        return _Unreadable(process, f"the JVM could not be read: {error}")
    return None if jvm is None else HotSpotUnwinder(jvm)


class _Unreadable:
    """Takes the code that no file backs, only to tell why there is no more of the stack."""

    def __init__(self, process: Process, reason: str) -> None:
        self._process = process
        self._reason = reason

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:  # noqa: ARG002 - the protocol's signature
        mapping = self._process.mapping(cursor.lookup)
        if mapping is None or mapping.path or not mapping.executable:
            return None
        return Step((), None, stop=self._reason)


def _libjvm(process: Process) -> Optional[Mapping]:
    for mapping in process.mappings:
        if mapping.offset == 0 and mapping.path.endswith("/libjvm.so"):
            return mapping
    return None
