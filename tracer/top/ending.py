"""What ends the screen, and how the terminal gets back what it was."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Collection
from types import FrameType
from typing import Any, Callable, Optional

from tracer.session.stopping import Stop

_BACK = (
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # no mouse
    "\x1b[?2004l\x1b[?2048l\x1b[?1004l\x1b[<u"  # no bracketed paste, reports of size and focus, keys of kitty
    "\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"  # lines wrap, the usual screen, the cursor
)
"""xterm's control sequences (ctlseqs), and kitty's, that undo what the screen set."""


class Ending(Stop):
    """The first of SIGINT, SIGTERM, SIGHUP and SIGQUIT ends the screen in good order; ``wake`` is called then.

    The second gives the terminal back at once and has its default effect. Make it before the screen begins.
    """

    def __init__(self, pids: Collection[int] = ()) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._settings = _settings()
        super().__init__(None, pids)

    def _ask(self, number: int, _frame: Optional[FrameType]) -> None:
        if self.asked:
            self._give_back()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.end()
        self.wake()

    def _give_back(self) -> None:
        try:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, _BACK.encode())
            if self._settings is not None:
                termios.tcsetattr(0, termios.TCSANOW, self._settings)
        except (OSError, termios.error):
            pass  # the terminal is gone


def _settings() -> Optional[list[Any]]:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None
