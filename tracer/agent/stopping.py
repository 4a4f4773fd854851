"""When an agent ends, and what it does while its session rests: it answers."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Callable, Optional

from tracer.session.stopping import Stop


class AgentStop(Stop):
    """SIGTERM and SIGINT end it. SIGHUP asks for the configuration to be read again, which is done at the next rest.

    ``serve`` is called with seconds in place of sleeping, ``reread`` after SIGHUP.
    """

    def __init__(self, serve: Callable[[float], None], reread: Callable[[], None]) -> None:
        super().__init__()
        self._serve, self._reread = serve, reread
        self._hung_up = False
        self.reopens = False
        """The session is to end, and another one to begin."""
        signal.signal(signal.SIGHUP, self._hang_up)

    def _hang_up(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._hung_up = True

    def _ask_now(self, _number: int, _frame: Optional[FrameType]) -> None:
        """SIGUSR1 asks a trace for a report. An agent prints none: it is asked through its socket."""

    def wait(self, seconds: float) -> None:
        """Answer questions for so long."""
        if self._hung_up:
            self._hung_up = False
            self._reread()
        self._serve(max(0.0, seconds))

    def over(self) -> bool:
        """Whether the session is to end."""
        return self.reopens or super().over()
