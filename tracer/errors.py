"""The errors that end a run. cli.py alone turns them into one line on stderr and an exit code."""

from __future__ import annotations

WHOLE_LOG = "`closetrace doctor --dump DIR` writes the whole log"
"""Where to read on after an error of the compiler or the verifier, of which one line is shown."""


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


class CompileFailed(HostUnsupported):
    """The kernel-side program does not compile here; ``said`` is all that the compiler wrote."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said
