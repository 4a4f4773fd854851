"""A thread that takes reports out of the session's hands: what an exporter does must not hold the session up."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Callable, Generic, Optional, TypeVar

from tracer.trail import Trail

_log = Trail(__name__)
_CLOSING_S = 0.8


@dataclass
class Tally:
    """What an exporter did not send: ``dropped`` as it was busy, ``failed`` as nobody took it.

    ``waiting`` are events that nobody has taken yet; None if the exporter sends none.
    """

    exporter: str
    dropped: int = 0
    failed: int = 0
    waiting: Optional[int] = None


TALLIES: dict[str, Tally] = {}
"""Of all exporters of this process, by name: each exporter tells of all."""

T = TypeVar("T")


class Feeder(Generic[T]):
    """Hands each report, or what was made of it, to ``consume`` in its own thread. ``most`` may wait; the oldest gives
    way and is counted in ``tally``.

    A report of 100,000 sockets takes 100 MB or more: ``consume`` must not keep one while a network takes its time.
    """

    def __init__(self, exporter: str, consume: Callable[[T], None], most: int, tally: Optional[Tally] = None) -> None:
        if tally is None:
            tally = TALLIES[exporter] = Tally(exporter)
        self.tally = tally
        self._consume, self._most = consume, most
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"closetrace-{exporter}", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Leave one. Comes back at once."""
        with self._changed:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.tally.dropped += 1
            self._waiting.append(item)
            self._changed.notify()

    def close(self) -> None:
        """End the thread. What waits is not sent. A thread that is in a call ends with this process."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(_CLOSING_S)
        TALLIES.pop(self.tally.exporter, None)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._consume(item)
            except Exception as error:  # whatever a library raises, the next report is tried
                self.tally.failed += 1
                _log.debug("%s: a report was not sent: %s", self.tally.exporter, error)
            del item  # the next one may be long in coming

    def _next(self) -> Optional[T]:
        """Wait for it; None at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return None if self._closed else self._waiting.popleft()
