"""Names Ruby's frames: what the words of a black box lead to, as the process's memory has it now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.ruby import NAME, is_standard
from tracer.stacks.languages.ruby.ages import Ages, Seen, Thing
from tracer.stacks.languages.ruby.iseqs import Iseq, Iseqs, Method
from tracer.stacks.languages.ruby.words import Call
from tracer.stacks.late import LATER, UNKNOWN, Window
from tracer.stacks.target.reader import Nonsense

_GONE = "Ruby code that was freed before its name could be read"
_MOST_LINES = 50_000


class Names:
    """The names of one process's methods and blocks."""

    def __init__(self, iseqs: Iseqs, ages: Ages) -> None:
        self._iseqs, self._ages = iseqs, ages
        self._lines: dict[tuple[Iseq, int], Optional[int]] = {}

    def frames(self, calls: Sequence[Call], ns: int, window: Window) -> tuple[Frame, ...]:
        """The frames of ``calls``, made at ``ns``. Cuts ``window`` to the times for which the same would be said."""
        return tuple(self._frame(call, ns, window) for call in calls)

    def handler(self, calls: Sequence[Call], ns: int) -> Optional[int]:
        """An address in the machine code that runs the instructions of ``calls``; None if that cannot be told."""
        for call in calls:
            seen = self._seen(call, ns, time.monotonic_ns())
            if seen is not None and isinstance(seen.thing, Iseq):
                try:
                    return self._iseqs.handler(seen.thing)
                except MemoryUnreadable:
                    continue
        return None

    def _frame(self, call: Call, ns: int, window: Window) -> Frame:
        now = time.monotonic_ns()
        seen = self._seen(call, ns, now)
        is_later = seen is not None and ns < seen.since_ns
        if seen is None or not _holds(seen.thing, call) or (is_later and seen.others):
            window.narrow(0, now)
            return Frame(UNKNOWN, None, language=NAME, internal=True, note=_GONE)
        window.narrow(*((0, seen.since_ns - 1) if is_later else (seen.since_ns, seen.until_ns)))
        note = LATER if is_later else None
        if isinstance(seen.thing, Method):
            return Frame(seen.thing.name, None, language=NAME, internal=True, note=note)
        iseq = seen.thing
        return Frame(
            iseq.label,
            None,
            file=iseq.file or None,
            line=self._line(iseq, iseq.position(call.pc)),
            language=NAME,
            internal=is_standard(iseq.file),
            note=note,
        )

    def _seen(self, call: Call, ns: int, now: int) -> Optional[Seen]:
        """What was at the address of ``call`` at ``ns``, as far as is known; None if it is neither code nor method."""
        seen = self._ages.known(call.address)
        if seen is None or seen.until_ns < ns:
            try:
                thing, survived = self._read(call)
            except (Nonsense, MemoryUnreadable):
                return None
            seen = self._ages.see(thing, survived, now)
        return seen

    def _read(self, call: Call) -> tuple[Thing, int]:
        if call.is_c:
            return self._iseqs.method(call.address)
        return self._iseqs.read(call.address)

    def _line(self, iseq: Iseq, position: int) -> Optional[int]:
        key = (iseq, position)
        if key not in self._lines:
            if len(self._lines) >= _MOST_LINES:
                self._lines.clear()
            try:
                self._lines[key] = self._iseqs.line(iseq, position) or None
            except (Nonsense, MemoryUnreadable):
                self._lines[key] = None
        return self._lines[key]


def _holds(thing: Thing, call: Call) -> bool:
    """Whether ``call`` can be one of ``thing``."""
    if isinstance(thing, Method):
        return call.is_c
    return not call.is_c and thing.position(call.pc) >= 0
