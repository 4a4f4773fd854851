"""When an agent ends, and what it does while its session rests: it answers."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Callable, Optional

from tracer.session.stopping import Stop


class AgentStop(Stop):
    """SIGTERM and SIGINT end it. SIGHUP asks for the configuration to be read again, which is done at the next rest.

    That holds from the beginning, also for a SIGHUP that came while the program was being imported. SIGUSR1 does
    nothing: a report is to be had by asking. ``serve`` is called in place of sleeping with what :meth:`wait` was given,
    ``reread`` after SIGHUP.
    """

    def __init__(self, serve: Callable[[float, Optional[int]], bool], reread: Callable[[], None]) -> None:
        self._serve, self._reread = serve, reread
        self._hung_up = False
        self.reopens = False
        """The session is to end, and another one to begin."""
        super().__init__()

    def _ask(self, number: int, frame: Optional[FrameType]) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        else:
            super()._ask(number, frame)

    def _ask_now(self, _number: int, _frame: Optional[FrameType]) -> None:
        pass

    def wait(self, seconds: float, wakes: Optional[int] = None) -> bool:
        """Answer questions for so long, or until the descriptor ``wakes`` can be read. True if it can."""
        if self._hung_up:
            self._hung_up = False
            self._reread()
        return self._serve(max(0.0, seconds), wakes)

    def over(self) -> bool:
        """Whether the session is to end."""
        return self.reopens or super().over()
