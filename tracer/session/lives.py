"""Connections when they end or linger: what `timeline` prints."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator

from tracer.flight.decode import decode
from tracer.host.threads import ThreadsNow
from tracer.kernel.tasks import TaskReader
from tracer.model.connection import Connection, Losses
from tracer.session.attached import Attached
from tracer.session.join import join
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.stacks.service import StackService
from tracer.trail import Took

_log = logging.getLogger(__name__)

_LAST_MOMENT_S = 0.05
"""The sockets of a process that has just ended are on their way."""


class Lives:
    """Reads endings as they come, and each lingering socket once."""

    def __init__(self, run: Attached) -> None:
        self._run, self._recorder = run, run.recorder
        self._service = StackService()
        self._stacks = StackStore(self._recorder, self._service)
        self._tasks = TaskReader()
        self._lingering: set[tuple[int, int]] = set()

    def until(self, stop: Stop) -> Iterator[Connection]:
        """Look once an interval until ``stop`` says so, and once more then."""
        stop.begin()
        try:
            while not stop.over():
                stop.wait(self._run.request.interval_s)
                yield from self._look()
            time.sleep(_LAST_MOMENT_S)
            yield from self._look()
        finally:
            self._service.close()
            self._tasks.close()

    def _look(self) -> Iterator[Connection]:
        took, unwound = Took(), self._stacks.unwound
        endings = self._recorder.endings()
        for record in endings:
            connection = decode(record, self._stacks.resolve_owned, time.monotonic_ns(), ended=True)
            self._lingering.discard(connection.key)
            yield connection
        read = yield from self._late()
        _log.debug(
            "look: %d endings, %d records read, %d boxes unwound, all printed, in %s",
            len(endings),
            read,
            self._stacks.unwound - unwound,
            took,
        )

    def _late(self) -> Generator[Connection, None, int]:
        """Give those that linger and were not given yet; at the end, how many records were read."""
        now = time.monotonic_ns()
        linger_ns = self._run.request.wanted.linger_ns
        late = [entry for entry in self._recorder.suspects() if now - entry.since_ns >= linger_ns]
        fresh = [entry for entry in late if (entry.sk, entry.birth_ns) not in self._lingering]
        records = [self._recorder.record(entry.sk) for entry in fresh]
        found = [decode(record, self._stacks.resolve, now) for record in records if record is not None]
        joined = join(found, self._run.namespaces, ThreadsNow(self._tasks), self._stacks.unwind) if found else ()
        for connection in joined:
            self._lingering.add(connection.key)
            yield connection
        return len(found)

    def lost(self) -> Losses:
        """What the kernel side could not keep."""
        return self._recorder.losses()
