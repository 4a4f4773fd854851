"""The terminal, pipe or file that text goes to: its width and colour, and remarks beside the report."""

from __future__ import annotations

import os
import sys

import click

from tracer.reports.printable import clean


def width() -> int:
    """Columns to fit output into: those of the terminal; 100 for a file or a pipe unless COLUMNS says otherwise."""
    import shutil

    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 100, 24)).columns


def color() -> bool:
    """Colour only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """A remark beside the report: stderr, so that stdout is the report alone.

    A terminal gets lines of its width, broken between words. Anything else gets one line, for scripts to read. If the
    disk under stderr is full, nothing is said and all else goes on. Raises BrokenPipeError if nobody reads any more.
    """
    told = clean(text)
    if sys.stderr.isatty():
        from tracer.reports.text.cells import wrap

        told = "\n".join(wrap(told, width_of_stderr(), rest="  "))
    try:
        click.echo(told, err=True)
    except BrokenPipeError:
        raise
    except OSError:
        pass


def width_of_stderr() -> int:
    """Of stderr's own terminal: stdout may be a file. COLUMNS counts more."""
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
