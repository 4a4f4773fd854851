"""The errors that end a run. Only cli.py turns them into one line on stderr and an exit code."""

from __future__ import annotations

WHOLE_LOG = "`closetrace doctor --dump DIR` writes the whole log"
"""Added to an error of the compiler or the verifier, which shows one line of the log."""

BPF_NEEDS = (
    "closetrace needs root (or CAP_BPF with CAP_PERFMON), a kernel without lockdown, and enough memlock "
    "(ulimit -l unlimited)"
)
"""Added to an error if the kernel refuses BPF maps."""


MORE_FILES = "too few open files are allowed to this process: raise the limit (ulimit -n 1024)"


class ClosetraceError(Exception):
    """An error with one clear sentence for the user. ``exit_code`` is 1 unless a subclass has its own."""

    exit_code = 1


class UsageError(ClosetraceError):
    """The command line asks for something that makes no sense here (exit 2)."""

    exit_code = 2


class LingerExceeded(ClosetraceError):
    """More sockets lingered than ``--fail-over`` allows (exit 3)."""

    exit_code = 3


class HostUnsupported(ClosetraceError):
    """This host cannot be traced. The sentence says why, and what to do (exit 4)."""

    exit_code = 4


class CompileFailed(HostUnsupported):
    """The kernel-side program does not compile on this host. ``said`` is all that the compiler wrote."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said
