"""Prints what ``--verbose`` shows: each step as one line on stderr, with the time since the process began."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Callable

import click

from tracer import __version__
from tracer.reports.text import terminal

_PACKAGE = "tracer"


def _process_age_s() -> float:
    """Seconds since this process began, to 10 ms: field 22 of /proc/self/stat, in ticks since boot (proc(5))."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


class _Lines(logging.Handler):
    """Writes ``[  123.4 ms] text``. Nothing from a traced program reaches the terminal raw."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._began = time.monotonic() - _process_age_s()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. On a terminal it first clears the status line, which is drawn again later."""
        try:
            milliseconds = (time.monotonic() - self._began) * 1e3
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", err=True, nl=False)
            terminal.say(f"[{milliseconds:9.1f} ms] {record.getMessage()}")
        except (OSError, ValueError):
            pass  # stderr was closed: the trace itself goes on


def begin() -> Callable[[], None]:
    """Begin to print steps. Return a function that ends it."""
    logger, lines = logging.getLogger(_PACKAGE), _Lines()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(lines)

    def end() -> None:
        logger.removeHandler(lines)
        logger.setLevel(level)
        logger.propagate = propagate

    logging.getLogger(__name__).debug(
        "closetrace %s, Python %s, kernel %s, process %d",
        __version__,
        platform.python_version(),
        os.uname().release,
        os.getpid(),
    )
    return end
