"""What the agent of this host knows of sockets that a command counts by itself. It is not waited for long."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Optional

from tracer.commands.options import describe
from tracer.host.identity import in_first_pid_namespace
from tracer.model.scope import Scope
from tracer.reports.printable import clean
from tracer.reports.text import terminal

if TYPE_CHECKING:
    from tracer.diagnose.census.recorded import Records

_PATIENCE_S = 3.0
"""The first count waits so long for an answer. Later ones do not wait."""
_AGAIN_S, _SHARE = 10.0, 20
"""It is asked again after so many seconds, or so many times as long as its answer took: that costs it CPU."""
_MOST_BYTES = 64 << 20
"""Of an answer: some 40 for each socket."""


class AgentBeside:
    """The agent at ``path``, which is asked of ``scope``. If somebody ``named`` it, it is said that none is there."""

    def __init__(self, path: str, scope: Scope, *, named: bool = False) -> None:
        self._path, self._scope = path, scope
        self._absent = "it cannot be reached" if named else ""
        self._answer: Optional[Records] = None
        self._why = self._said = ""
        self._thread: Optional[threading.Thread] = None
        self._due = 0.0

    def newest(self) -> Optional[Records]:
        """Its newest answer; None without an agent. If there is one that does not answer, a line on stderr says why.

        Without an agent nothing is imported and nothing is waited for.
        """
        if self._thread is None and time.monotonic() >= self._due and self._may_be_there():
            first = self._due == 0.0
            self._thread = asking = threading.Thread(target=self._ask, name="closetrace-asks", daemon=True)
            asking.start()
            if first:
                asking.join(_PATIENCE_S)
                if asking.is_alive():
                    self._say(f"it does not answer within {_PATIENCE_S:g} s")
        self._say(self._why)
        return self._answer

    def _may_be_there(self) -> bool:
        if os.path.exists(self._path) and in_first_pid_namespace():  # process numbers mean others elsewhere
            return True
        self._answer, self._why = None, self._absent if _is_missing(self._path) else ""
        return False

    def _ask(self) -> None:
        begun = time.monotonic()
        self._answer, self._why = self._answered()
        ended = time.monotonic()
        self._due = ended + max(_AGAIN_S, _SHARE * (ended - begun))
        self._thread = None

    def _answered(self) -> tuple[Optional[Records], str]:
        from tracer.agent.asking import Asked, NoAgent, NotAnswered
        from tracer.agent.protocol import NoAnswer, NoQuestion, Question
        from tracer.agent.records import records_from

        text = bytearray()

        def take(data: bytes) -> None:
            if len(text) + len(data) > _MOST_BYTES:
                raise NoAnswer("its answer is too long")
            text.extend(data)

        try:
            with Asked(self._path, Question("census", self._scope, clean(describe(self._scope)), 0)) as asked:
                asked.about()
                asked.text(take)
                return records_from(bytes(text), asked.greeting.since), ""
        except NoAgent:
            return None, self._absent if os.access(self._path, os.W_OK) else ""  # else this user may not ask it
        except (NotAnswered, NoAnswer, NoQuestion) as why:
            return None, str(why)

    def _say(self, why: str) -> None:
        """Say it once, however often it happens."""
        if why and why != self._said:
            terminal.say(f"the agent at {self._path} is no help: {why}. This is the kernel's count alone.")
        self._said = why


def _is_missing(path: str) -> bool:
    """Whether nothing is there. Where this user may not look, nobody knows."""
    try:
        os.stat(path)
    except OSError as why:
        return isinstance(why, FileNotFoundError)
    return False
