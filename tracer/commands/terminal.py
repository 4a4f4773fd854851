"""What the output goes to: width, colour, the status line, and JSON on a closed pipe."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from tracer.reports.text import status as status_line
from tracer.reports.text.cells import clean

if TYPE_CHECKING:
    from tracer.session.watch import Tick


def width() -> int:
    """Columns to fit output into: those of the terminal; 100 for a file or a pipe unless COLUMNS says otherwise."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 100, 24)).columns


def color() -> bool:
    """Colour only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """A remark beside the report: stderr, so that stdout is the report alone."""
    click.echo(clean(text), err=True)


class StatusLine:
    """One line that is rewritten in place while the trace runs; nothing where that is not a terminal."""

    def __init__(self, enabled: bool = True) -> None:
        self._live = enabled and sys.stderr.isatty() and sys.stdout.isatty()
        self._drawn = False

    def show(self, tick: Tick) -> None:
        """Draw the figures of this interval."""
        if self._live:
            text = status_line.line(tick.watched, tick.close_wait, tick.oldest_ns, width=width())
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._drawn = True

    def clear(self) -> None:
        """Make room for other output."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
