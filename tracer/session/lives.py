"""Connections when they end or linger: what `timeline` prints."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from tracer.host.threads import ThreadsNow
from tracer.kernel.tasks import TaskReader
from tracer.model.connection import Connection, Losses
from tracer.model.finding import Unconfined, Unread
from tracer.session.attached import Attached
from tracer.session.draining import USUAL
from tracer.session.interpreters import Interpreters
from tracer.session.join import join
from tracer.session.members import parents
from tracer.session.reading import Reader
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.session.unread import unconfined, unread
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.service import StackService
from tracer.trail import Took, Trail

_log = Trail(__name__)

_LAST_MOMENT_S = 0.05
"""Time for the sockets of a process that has just ended to end too."""


class Lives:
    """Reads endings as they come, and each lingering socket once."""

    def __init__(self, run: Attached) -> None:
        self._run, self._recorder = run, run.recorder
        self._keeper = Keeper()
        self._service = StackService(walker=self._keeper, last_exec=run.recorder.last_exec)
        self._interpreters = Interpreters(run, self._service)
        self._stacks = StackStore(self._recorder, self._service)
        self._tasks = TaskReader()
        self._reader = Reader(self._recorder, self._stacks, run.older, run.plan.unseen_calls())
        self._lingering: set[tuple[int, int]] = set()

    def until(self, stop: Stop) -> Iterator[Connection]:
        """Look once each interval until ``stop`` is over, and once more at the end."""
        stop.begin()
        self._keeper.use_hurry(lambda: stop.asked)
        self._interpreters.seed()
        try:
            while not stop.over():
                self._rest(stop)
                self._run.members.look_for_programs()
                yield from self._look()
            time.sleep(_LAST_MOMENT_S)
            yield from self._look()
        finally:
            self._service.close()
            self._tasks.close()

    def _rest(self, stop: Stop) -> None:
        until = time.monotonic_ns() + int(self._run.request.interval_s * 1e9)
        while not stop.over() and (left := until - time.monotonic_ns()) > 0:
            self._interpreters.wait(stop, min(left / 1e9, USUAL.look_s))

    def _look(self) -> Iterator[Connection]:
        took, unwound, ended = Took(), self._stacks.unwound, 0
        for connection in self._reader.endings():
            ended += 1
            self._lingering.discard(connection.key)
            yield connection
        read = yield from self._late()
        _log.debug(
            "look: %d endings, %d records read, %d boxes unwound, all printed, in %s",
            ended,
            read,
            self._stacks.unwound - unwound,
            took,
        )

    def _late(self) -> Generator[Connection, None, int]:
        """Yield lingering connections that were not yielded before. Return how many records were read."""
        now = time.monotonic_ns()
        linger_ns = self._run.request.wanted.linger_ns
        late = [entry for entry in self._recorder.suspects() if now - entry.since_ns >= linger_ns]
        fresh = [entry for entry in late if (entry.sk, entry.birth_ns) not in self._lingering]
        found = [c for entry in fresh if (c := self._reader.suspect(entry)) is not None]
        for connection in self._joined(found) if found else ():
            self._lingering.add(connection.key)
            yield connection
        return len(found)

    def _joined(self, found: list[Connection]) -> list[Connection]:
        threads, parent_of = ThreadsNow(self._tasks, self._service.read), parents(self._recorder)
        last_exec = self._recorder.last_exec
        return join(found, self._run.namespaces, threads, self._stacks.unwind, parent_of, None, last_exec)

    def lost(self) -> Losses:
        """What the kernel side could not keep, and stacks that were not read."""
        return replace(self._recorder.losses(), stacks_unread=self._keeper.unserved)

    def not_read(self) -> tuple[Sequence[Unread], Sequence[Unconfined]]:
        """What was not read, and what is not confined. To be called at the end."""
        return unread(self._keeper), unconfined(self._keeper)
