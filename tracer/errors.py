"""The errors that end a run. cli.py alone turns them into one line on stderr and an exit code."""

from __future__ import annotations


class ClosetraceError(Exception):
    """One clear sentence for the user. ``exit_code``: 1 anything not listed in docs, see the subclasses."""

    exit_code = 1


class UsageError(ClosetraceError):
    """The command line asks for something that makes no sense here (exit 2)."""

    exit_code = 2


class LingerExceeded(ClosetraceError):
    """More sockets lingered than ``--fail-over`` allows (exit 3)."""

    exit_code = 3


class HostUnsupported(ClosetraceError):
    """This host cannot be traced; the sentence says why and what would mend it (exit 4)."""

    exit_code = 4
