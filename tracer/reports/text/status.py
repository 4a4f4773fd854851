"""The one line that tells a person at a terminal that the trace is alive."""

from __future__ import annotations

import sys
from typing import Optional

from tracer.diagnose import words
from tracer.model.finding import Tick
from tracer.reports.text import terminal
from tracer.reports.text.cells import fit


def line(watched: int, close_wait: int, oldest_ns: Optional[int], *, width: int) -> str:
    """``412 sockets watched, 12 in CLOSE_WAIT, oldest 1m 11s``, narrower than ``width`` so that it never wraps."""
    parts = [f"{words.plural(watched, 'socket')} watched", f"{close_wait} in CLOSE_WAIT"]
    if close_wait and oldest_ns is not None:
        parts.append(f"oldest {words.duration(oldest_ns)}")
    return fit(", ".join(parts), width - 1)


class StatusLine:
    """One line that is rewritten in place while the trace runs; nothing where stdout or stderr is not a terminal."""

    def __init__(self, *, live: bool = True) -> None:
        self._live = live and sys.stderr.isatty() and sys.stdout.isatty()
        self._drawn = False

    def show(self, tick: Tick) -> None:
        """Draw the figures of this interval."""
        if self._live:
            text = line(tick.watched, tick.close_wait, tick.oldest_ns, width=terminal.width())
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._drawn = True

    def clear(self) -> None:
        """Make room for other output."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
