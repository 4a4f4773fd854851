"""One traced run: open, seed, follow, report, close. Every command that traces uses one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Optional

from tracer.host.namespaces import Namespaces
from tracer.kernel.source import Wanted
from tracer.session.attached import Attached
from tracer.session.clock import Clock, clock_offset_ns
from tracer.session.members import Members
from tracer.session.opening import open_recorder
from tracer.session.preexisting import Preexisting
from tracer.session.request import Request
from tracer.session.stopping import Stop
from tracer.stacks.registry import may_interpret
from tracer.stacks.target.early import open_processes, opened_again
from tracer.stacks.target.process import Process

if TYPE_CHECKING:
    from tracer.model.connection import Probe
    from tracer.model.finding import Report, Tick
    from tracer.model.scope import Scope
    from tracer.session.following import Following
    from tracer.session.lives import Lives
    from tracer.session.part import Part
    from tracer.session.transitions import Transitions


class Session:
    """An attached recorder. Use it in a ``with`` statement: the end of the block detaches and frees everything.

    The modules that read stacks and judge sockets are imported after attaching, while the kernel side already records.
    """

    def __init__(self, request: Request) -> None:
        """Compile, load, attach, seed. Raises HostUnsupported with the reason."""
        clock = Clock(time.time(), clock_offset_ns())
        namespaces = Namespaces()
        older = Preexisting(request.scope, namespaces)
        processes = open_processes(request.scope.pids)
        wanted = _wanted(request, processes)
        try:
            opened = open_recorder(request.scope, request.sizes, wanted, request.probes, request.compiles_with)
        except BaseException:
            _close(processes)
            raise
        self._run = Attached(
            request,
            opened.recorder,
            opened.plan,
            Members(request.scope, opened.recorder),
            older,
            namespaces,
            clock,
            wanted,
            processes,
        )
        self._following: Optional[Following] = None
        try:
            self._attach()
        except BaseException:
            opened.recorder.close()
            _close(self._run.processes)
            raise

    def _attach(self) -> None:
        """Attach, then list the older sockets. In this order no socket is missed.

        Who says since when it has recorded must not count the seconds that compiling took.
        """
        run = self._run
        run.members.seed()
        run.recorder.start(run.plan)
        self._run = run = replace(run, processes=opened_again(run.processes))  # from now on execs are seen
        if run.request.endless:
            self._run = run = replace(run, clock=Clock(time.time(), clock_offset_ns()))
        run.members.seed()
        run.older.take(run.recorder, run.members.now())

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def clock_offset_ns(self) -> int:
        """What to add to CLOCK_MONOTONIC to get nanoseconds since the epoch."""
        return self._run.clock.now().offset_ns

    def probes(self) -> tuple[Probe, ...]:
        """How each hook family was attached."""
        return self._run.plan.probes()

    def prepare(self, stop: Stop) -> None:
        """Have the frames of interpreters in scope told from now on. Comes back at once if there are none.

        Recording goes on meanwhile, without these frames. ``stop`` ends the waiting.
        """
        if any(map(may_interpret, self._run.processes)):
            self._follower().prepare(stop)

    def follow(self, stop: Stop, tick: Callable[[Tick], None]) -> None:
        """Look at the suspects once each interval until ``stop`` is over. ``tick`` gets the result of each look."""
        self._follower().until(stop, tick)

    def report(self, part: Optional[Part] = None, *, threads: bool = True) -> Report:
        """Return everything found so far, or the part of it that :meth:`part` gave.

        ``threads``: with where threads are now, which takes long.
        """
        return self._follower().report(part, threads=threads)

    def part(self, scope: Scope, target: str, linger_ns: int) -> Part:
        """What is in ``scope`` (``target``: in words), and has lingered for ``linger_ns``, of all that is recorded."""
        return self._follower().part(scope, target, linger_ns)

    def summary(self) -> Report:
        """Everything found so far, with the fullest ports, but without where threads are now: that takes long."""
        return self._follower().summary()

    def limit(self, percent: float) -> None:
        """Allow tracing to cost so much from now on, in percent of one CPU, where it has had a limit."""
        self._follower().limit(percent)

    def name_pods(self, where: str) -> None:
        """Have the names of pods from there from now on (``Request.pod_names``)."""
        self._follower().name_pods(where)

    @property
    def linger_ns(self) -> int:
        """The threshold."""
        return self._run.request.wanted.linger_ns

    @property
    def forgotten(self) -> int:
        """How many sockets that had lingered left so long ago that they are only counted."""
        return self._follower().forgotten

    @property
    def started(self) -> float:
        """When recording began, in seconds since the epoch."""
        return self._run.clock.now().started

    def members(self) -> Optional[frozenset[int]]:
        """The processes in scope now; None if everybody is."""
        return self._run.members.now()

    def _follower(self) -> Following:
        if self._following is None:
            from tracer.session.following import Following

            self._following = Following(self._run)
        return self._following

    def transitions(self) -> Transitions:
        """The state transitions as they happen (``Wanted.events``)."""
        from tracer.session.transitions import Transitions

        return Transitions(self._run)

    def lives(self) -> Lives:
        """Each connection when it ends or lingers (``Wanted.all_endings``)."""
        from tracer.session.lives import Lives

        return Lives(self._run)

    def close(self) -> None:
        """Detach and free everything. It may be called again."""
        if self._following is not None:
            self._following.close()
            self._following = None
        _close(self._run.processes)
        self._run.recorder.close()


def _close(processes: Iterable[Process]) -> None:
    for process in processes:
        process.close()


def _wanted(request: Request, processes: Sequence[Process]) -> Wanted:
    """What is asked of the kernel side: interpreters' frames, too, unless no process in scope can have any.

    Boxes of transitions have left their record by the time at which frames are told.
    """
    wanted, scope = request.wanted, request.scope
    fixed = bool(scope.pids) and not scope.follow_forks
    may = not wanted.events and (not fixed or any(map(may_interpret, processes)))
    return replace(wanted, interpreters=True) if may else wanted
