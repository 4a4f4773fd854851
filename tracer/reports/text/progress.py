"""How far long work has come: one line on stderr, rewritten in place. Only where stderr is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Optional

from tracer.reports.text import terminal
from tracer.reports.text.cells import fit

_QUIET_S, _EVERY_S = 0.5, 0.1


class Progress:
    """Use it in a ``with`` statement. The line appears after half a second, so that short work shows none."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._next = time.monotonic() + _QUIET_S if sys.stderr.isatty() else float("inf")
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def at(self, done: int) -> None:
        """Say that so many are done."""
        now = time.monotonic()
        if now >= self._next:
            text = f"{self._what}: {done} of {self._total} ({100 * done // max(self._total, 1)} %)"
            sys.stderr.write(f"\r\x1b[K{fit(text, terminal.width() - 1)}")
            sys.stderr.flush()
            self._next, self._drawn = now + _EVERY_S, True
