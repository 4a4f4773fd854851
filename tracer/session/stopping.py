"""When a run ends: Ctrl-C, SIGTERM, the given duration, or the end of what was traced; and reports on SIGUSR1."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import weakref
from collections.abc import Collection
from types import FrameType
from typing import Optional

from tracer import earliest
from tracer.host.processes import process_info
from tracer.waiting import wait_for


class Stop:
    """Handles signals from its construction on, and those that came while the program was being imported.

    The first of SIGINT, SIGTERM, SIGHUP and SIGQUIT asks for the report; the second has its default effect. SIGUSR1
    asks for a report and the trace goes on.
    """

    def __init__(self, duration_s: Optional[float] = None, pids: Collection[int] = ()) -> None:
        self._asked = False
        self._heard, self._bell = _bell(self)
        self._duration = duration_s
        self._until: Optional[float] = None
        self._starts = {pid: _start(pid) for pid in pids}
        self._report_asked = False
        for number in earliest.ASKING:
            signal.signal(number, self._ask)
        signal.signal(signal.SIGUSR1, self._ask_now)
        for caught in earliest.taken():
            os.kill(os.getpid(), caught)

    def _ask(self, number: int, _frame: Optional[FrameType]) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.end()

    def _ask_now(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._report_asked = True

    def end(self) -> None:
        """End as a signal does. Any thread may call this."""
        self._asked = True
        with contextlib.suppress(BlockingIOError):  # it was called so often already
            os.write(self._bell, b"!")

    @property
    def report_asked(self) -> bool:
        """Whether a report is wanted now, while the trace goes on."""
        return self._report_asked

    def take_request(self) -> bool:
        """The same; it is then answered."""
        asked, self._report_asked = self._report_asked, False
        return asked

    def begin(self) -> None:
        """Begin to count the duration: the time for attaching is not part of it."""
        if self._duration is not None:
            self._until = time.monotonic() + self._duration

    def wait(self, seconds: float, wakes: Optional[int] = None) -> bool:
        """Sleep, but not past the end of the run, and until the descriptor ``wakes`` can be read. True if it can."""
        if self._until is not None:
            seconds = min(seconds, self._until - time.monotonic())
        return wait_for(max(0.0, seconds), wakes, self._heard)

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked

    def over(self) -> bool:
        """Whether the run is over, for any reason."""
        if self._asked or (self._until is not None and time.monotonic() >= self._until):
            return True
        return bool(self._starts) and not any(_runs(pid, start) for pid, start in self._starts.items())


def _bell(stop: Stop) -> tuple[int, int]:
    """A pipe that a signal writes to, so that it ends a wait: poll(2) is begun again after a handler (PEP 475)."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for end in ends:
        weakref.finalize(stop, os.close, end)
    return ends


def _runs(pid: int, start: Optional[int]) -> bool:
    """Whether the process with this start time still runs. ``start`` is None if it had already ended."""
    return start is not None and _start(pid) == start


def _start(pid: int) -> Optional[int]:
    """Start time in ticks: a later process with the same pid has another. None without a process, or for a zombie."""
    info = process_info(pid)
    return None if info is None or info.ended else info.start_ticks
