"""Where the reports of the screen come from: an agent that is asked again and again, or a trace of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Optional, Protocol

from tracer.agent.asking import Asked, NoAgent, NotAnswered
from tracer.agent.protocol import NoAnswer, Question
from tracer.errors import ClosetraceError
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.session.stopping import Stop

if TYPE_CHECKING:
    from tracer.model.finding import Report, Tick

_LEAST_S = 2.0
_SHARE = 0.05
"""Reports take at most this part of one CPU."""
_MOST_BYTES = 256 << 20


class Pace:
    """When the next report is due: after two seconds, and so late that reports take a twentieth of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()

    def wait_s(self) -> float:
        """Seconds until the next report is due; 0 if it is due now."""
        return max(0.0, self._due - self._clock())

    def took(self, seconds: float) -> None:
        """A report was made just now, and took so long."""
        self._due = self._clock() + max(_LEAST_S, seconds / _SHARE)


class Taker(Protocol):
    """Who shows the reports. All of it may be called in any thread."""

    def take(self, report: Report) -> None:
        """Show a report."""

    def say(self, text: str) -> None:
        """Show a remark, "" for none."""

    @property
    def wanted(self) -> bool:
        """Whether reports are wanted now."""


class Source(Protocol):
    """``name`` is the source in words."""

    name: str

    def run(self, taker: Taker) -> None:
        """Give reports to ``taker`` until the run is over. Raises ClosetraceError."""

    def close(self) -> None:
        """Free everything. It may be called again."""


class AgentSource:
    """Asks the agent at ``path``. Raises NoAgent, NotAnswered, NoQuestion, NoAnswer and BadReport.

    If it is of no help later, that is a remark, and it is asked again.
    """

    def __init__(self, path: str, question: Question, stop: Stop) -> None:
        self._path, self._question, self._stop = path, question, stop
        self._pace = Pace()
        self._first: Optional[Report] = self._ask()
        self.name = "agent"

    def _ask(self) -> Report:
        from tracer.reports.json.reading.report import from_text

        began = time.monotonic()
        pieces: list[bytes] = []
        length = 0

        def add(piece: bytes) -> None:
            nonlocal length
            length += len(piece)
            if length > _MOST_BYTES:
                raise NoAnswer("its answer is too long")
            pieces.append(piece)

        try:
            with Asked(self._path, self._question) as asked:
                asked.about()
                asked.text(add)
            return from_text(b"".join(pieces))
        finally:
            self._pace.took(time.monotonic() - began)

    def run(self, taker: Taker) -> None:
        """Ask until the run is over."""
        if self._first is not None:
            taker.take(self._first)
            self._first = None
        while not self._stop.over():
            self._stop.wait(max(0.2, self._pace.wait_s()))
            if not self._stop.over() and taker.wanted:
                self._ask_again(taker)
        if not self._stop.asked:
            self._ask_again(taker, "what was traced has ended")

    def close(self) -> None:
        """Nothing is held between two questions."""

    def _ask_again(self, taker: Taker, remark: str = "") -> None:
        try:
            taker.take(self._ask())
            taker.say(remark)
        except NoAgent:
            taker.say("the agent is gone")
        except (NotAnswered, ClosetraceError) as why:
            taker.say(f"the agent is no help: {why}")


class OwnTrace:
    """A session of its own. It is attached when this is made. Raises HostUnsupported."""

    def __init__(self, request: Request, stop: Stop) -> None:
        self._session = Session(request)
        self._stop = stop
        self._pace = Pace()
        self.name = "own trace"

    def run(self, taker: Taker) -> None:
        """Follow until the run is over, with a report whenever one is due; then free everything."""
        session, stop = self._session, self._stop

        def tick(_brought: Tick) -> None:
            asked = stop.take_request()  # or the session would not rest
            if asked or (taker.wanted and not self._pace.wait_s()):
                self._report(taker)

        with session:
            session.prepare(stop)
            session.follow(stop, tick)
            if not stop.asked:
                self._report(taker)
                taker.say("what was traced has ended")

    def _report(self, taker: Taker) -> None:
        began = time.monotonic()
        taker.take(self._session.report())
        self._pace.took(time.monotonic() - began)

    def close(self) -> None:
        """Detach and free everything."""
        self._session.close()
