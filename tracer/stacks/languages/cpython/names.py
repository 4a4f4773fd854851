"""Names Python's frames: the functions that the words of a black box point to, as the process's memory has them now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.cpython import is_standard
from tracer.stacks.languages.cpython.ages import Ages, Seen
from tracer.stacks.languages.cpython.code import Code, CodeReader
from tracer.stacks.languages.cpython.words import OF_GENERATOR, Call
from tracer.stacks.late import LATER, UNKNOWN, Window
from tracer.stacks.target.reader import Nonsense

_GONE = "a Python function that was gone before its name could be read"
_BEFORE_FIRST = -2
_MOST_LINES = 50_000


class Names:
    """The names of one process's functions."""

    def __init__(self, reader: CodeReader, ages: Ages) -> None:
        self._reader, self._ages = reader, ages
        self._lines: dict[tuple[Code, int], Optional[int]] = {}

    def frames(self, calls: Sequence[Call], ns: int, window: Window) -> tuple[Frame, ...]:
        """The frames of ``calls``, made at ``ns``. Cuts ``window`` to the times for which the same would be said."""
        named = (self._frame(call, ns, window) for call in calls)
        return tuple(frame for frame in named if frame is not None)

    def _frame(self, call: Call, ns: int, window: Window) -> Optional[Frame]:
        """None for what is in no traceback."""
        now = time.monotonic_ns()
        seen = self._ages.known(call.code)
        if seen is None or seen.until_ns < ns:
            try:
                seen = self._ages.see(self._reader.read(call.code), now)
            except (Nonsense, MemoryUnreadable):
                seen = None
        instruction = self._reader.instruction(seen.code, call.instruction) if seen is not None else 0
        if seen is not None and _BEFORE_FIRST <= instruction < seen.code.traceable and call.owner != OF_GENERATOR:
            window.narrow(0, seen.until_ns)
            return None
        is_later = seen is not None and ns < seen.since_ns
        if seen is None or not seen.code.holds(instruction) or (is_later and seen.others):
            window.narrow(0, seen.since_ns - 1 if seen is not None and is_later else now)
            return Frame(UNKNOWN, None, language="python", internal=True, note=_GONE)
        window.narrow(*((0, seen.since_ns - 1) if is_later else (seen.since_ns, seen.until_ns)))
        return Frame(
            seen.code.name,
            None,
            file=seen.code.file or None,
            line=self._line(seen, instruction),
            language="python",
            internal=is_standard(seen.code.file),
            note=LATER if is_later else None,
        )

    def _line(self, seen: Seen, instruction: int) -> Optional[int]:
        key = (seen.code, instruction)
        if key not in self._lines:
            if len(self._lines) >= _MOST_LINES:
                self._lines.clear()
            self._lines[key] = self._reader.line(seen.code, instruction)
        return self._lines[key]
