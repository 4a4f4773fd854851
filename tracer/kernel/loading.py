"""Programs on their way into the kernel: verifying takes up to 20 ms each, and the kernel does several at once."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping

from tracer.kernel.plan import Attachment

Load = Callable[[], int]
"""Loads one program; its descriptor. May raise."""


class Loading:
    """Begun on construction, by threads on all CPUs but the one that the caller goes on with."""

    def __init__(self, loads: Mapping[Attachment, Load]) -> None:
        self._pending = deque(loads.items())
        self._loaded: dict[Attachment, int] = {}
        self._failures: dict[Attachment, Exception] = {}
        spare = min(len(loads), len(os.sched_getaffinity(0)) - 1)
        self._threads = [threading.Thread(target=self._work, name="load") for _ in range(spare)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while True:
            try:
                attachment, load = self._pending.popleft()
            except IndexError:
                return
            try:
                self._loaded[attachment] = load()
            except Exception as error:  # handed to the thread that asks for the descriptor
                self._failures[attachment] = error

    def finish(self) -> None:
        """Until all are loaded, or were refused; takes a part of those that nobody has begun."""
        self._work()
        self._join()

    def descriptor(self, attachment: Attachment) -> int:
        """The loaded program, after finish(). Raises what loading raised."""
        if attachment in self._failures:
            raise self._failures[attachment]
        return self._loaded[attachment]

    def abandon(self) -> None:
        """Begin no more, and wait for those that are on their way."""
        self._pending.clear()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
