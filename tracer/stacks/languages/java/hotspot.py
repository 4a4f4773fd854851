"""Reads the Java stacks of an unmodified HotSpot JVM: no agent, no flag, no attach.

All information comes from the tables that libjvm exports for debuggers (vmStructs) and from the process's memory.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Optional

from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder
from tracer.stacks.languages.java.jvm import Jvm, open_jvm
from tracer.stacks.languages.java.layout import MissingTables
from tracer.stacks.languages.java.unwinder import HotSpotUnwinder
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Nonsense

_REST = 50
"""After a try there is none for so many times as long as it took: a starting JVM is soon known to be no JVM yet."""


def unwinder(process: Process, libjvm: Mapping) -> Optional[Unwinder]:
    """The unwinder for ``process``, which has loaded ``libjvm``; None if that is not HotSpot. Never raises.

    A JVM that cannot be read also gets an unwinder. It ends each stack at generated code and says why.
    """
    begun = time.monotonic()
    jvm, reason = _open(process, libjvm)
    if jvm is not None:
        return HotSpotUnwinder(jvm, partial(_is_generated, process))
    return _Unread(process, libjvm, reason, time.monotonic() - begun) if reason else None


class _Unread:
    """A JVM that could not be read yet. It may still be starting, so it is tried again now and then."""

    def __init__(self, process: Process, libjvm: Mapping, reason: str, took_s: float) -> None:
        self._process = process
        self._libjvm = libjvm
        self._unwinder: Optional[HotSpotUnwinder] = None
        self._wait(reason, took_s)

    def _wait(self, reason: str, took_s: float) -> None:
        self._reason = reason
        self._not_before = time.monotonic() + _REST * took_s

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        if self._unwinder is not None:
            return self._unwinder.step(cursor, memory)
        if not _is_generated(self._process, cursor.lookup):
            return None
        begun = time.monotonic()
        if begun < self._not_before:
            return Step((), None, stop=self._reason)
        jvm, reason = _open(self._process, self._libjvm)
        if jvm is None:
            self._wait(reason, time.monotonic() - begun)
            return Step((), None, stop=reason)
        self._unwinder = HotSpotUnwinder(jvm, partial(_is_generated, self._process))
        return self._unwinder.step(cursor, memory)


def _open(process: Process, libjvm: Mapping) -> tuple[Optional[Jvm], str]:
    """The JVM, or None and the reason. The reason is empty if it is not HotSpot."""
    try:
        return open_jvm(process, libjvm.start), ""
    except MissingTables as missing:
        return None, f"this JVM's tables do not have {missing}"
    except (MemoryUnreadable, Nonsense) as error:
        return None, f"the JVM could not be read: {error}"


def _is_generated(process: Process, address: int) -> bool:
    mapping = process.mapping(address)
    # Anonymous memory may have a name ("[anon:...]"); [vdso] and [vsyscall] have one too.
    return mapping is not None and mapping.executable and not mapping.is_file and mapping.path[:2] != "[v"
