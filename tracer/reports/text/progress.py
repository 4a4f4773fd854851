"""How far long work has come: one line on stderr, rewritten in place. Only where stderr is a terminal."""

from __future__ import annotations

import sys
import time

from tracer.reports.text import terminal
from tracer.underway import Underway

_QUIET_S, _EVERY_S = 0.5, 0.1
_CLEAR = "\r\x1b[K"


class Progress(Underway):
    """Draws the line when work of many things has taken half a second, so that short work shows none.

    Work that cannot be counted is told at once: who does it does not come back before it is over.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._what, self._total = "", 0
        self._next = float("inf")
        self._drawn = False

    def begin(self, what: str, total: int = 0) -> None:
        """Say what is done now, and of how many things it consists; 0: nobody knows."""
        if self._live:
            self._what, self._total = what, total
            self._next = time.monotonic() + _QUIET_S
            if not total:
                self._draw(f"{what} ...")

    def at(self, done: int) -> None:
        """Say that so many are done."""
        if self._live and (now := time.monotonic()) >= self._next:
            self._draw(f"{self._what}: {done} of {self._total} ({100 * done // max(self._total, 1)} %)")
            self._next = now + _EVERY_S

    def end(self) -> None:
        """Remove the line."""
        self._next = float("inf")
        if self._drawn:
            self._drawn = False
            self._write(_CLEAR)

    def close(self) -> None:
        """Draw nothing any more: the terminal is somebody else's from now on."""
        self.end()
        self._live = False

    def _draw(self, text: str) -> None:
        from tracer.reports.text.cells import fit  # most starts are quick and draw nothing

        self._drawn = True
        self._write(f"{_CLEAR}{fit(text, terminal.width_of_stderr() - 1)}")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal has gone (SIGHUP asks for the report): the work goes on
            self._live = self._drawn = False
            self._next = float("inf")
