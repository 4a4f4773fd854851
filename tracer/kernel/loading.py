"""Loads programs in parallel. The verifier needs up to 20 ms for each, and the kernel can verify several at once."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping

from tracer.kernel.plan import Attachment

Load = Callable[[], int]
"""Loads one program and returns its descriptor. May raise."""


class Loading:
    """Begins to load when it is made, in one thread fewer than there are CPUs: the caller's thread needs one."""

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
            except Exception as error:  # descriptor() raises it
                self._failures[attachment] = error

    def finish(self) -> None:
        """Wait until every program is loaded or refused. The caller's thread helps to load."""
        self._work()
        self._join()

    def descriptor(self, attachment: Attachment) -> int:
        """The descriptor of the loaded program, after finish(). Raises what the load raised."""
        if attachment in self._failures:
            raise self._failures[attachment]
        return self._loaded[attachment]

    def abandon(self) -> None:
        """Begin no more loads, and wait for those that have begun."""
        self._pending.clear()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
