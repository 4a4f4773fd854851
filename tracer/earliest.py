"""Signals that come while closetrace starts: they are kept, not lost, and do not end the process.

Before, while python starts, they are blocked, by the closetrace command.

Imports nothing of the package and little else, for it comes first.
"""

from __future__ import annotations

import os
import signal

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that end a trace with its report."""
SIGNALS = (*ASKING, signal.SIGUSR1)

_caught: list[int] = []
_catching = False
_ignored: set[int] = set()
"""Those that were ignored when closetrace was started: SIGHUP by nohup, SIGINT in a script's background."""


def _keep(number: int, _frame: object) -> None:
    _caught.append(number)


def catch() -> None:
    """Begin to keep signals, also those that have come since the closetrace command blocked them.

    Whoever started closetrace may have blocked them, too, which is inherited: then nothing but SIGKILL would end it.
    And where SIGCHLD is ignored, the kernel forgets how children ended.
    """
    global _catching
    _catching = True
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in SIGNALS:
        if signal.signal(number, _keep) == signal.SIG_IGN:
            _ignored.add(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGCHLD))


def taken() -> list[int]:
    """What has come. Whoever asks handles the signals from now on."""
    global _catching
    _catching = False
    found, _caught[:] = list(_caught), []
    return found


def release() -> None:
    """Give the signals their usual effect back, for commands that have no report; what has come takes effect now.

    What was ignored is ignored again. Not so SIGUSR1: the closetrace command ignores it until python has begun.
    """
    if not _catching:
        return
    for number in SIGNALS:
        if number in _ignored and number != signal.SIGUSR1:
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for caught in taken():
        if caught != signal.SIGUSR1:
            os.kill(os.getpid(), caught)
