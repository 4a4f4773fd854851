"""Connections when they end or linger: what `timeline` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tracer.flight.decode import decode
from tracer.host.threads import ThreadsNow
from tracer.kernel.tasks import TaskReader
from tracer.model.connection import Connection, Losses
from tracer.session.attached import Attached
from tracer.session.join import join
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.stacks.service import StackService

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
        for record in self._recorder.endings():
            connection = decode(record, self._stacks.resolve_owned, time.monotonic_ns(), ended=True)
            self._lingering.discard(connection.key)
            yield connection
        yield from self._late()

    def _late(self) -> Iterator[Connection]:
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

    def lost(self) -> Losses:
        """What the kernel side could not keep."""
        return self._recorder.losses()
