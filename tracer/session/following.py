"""The loop from attaching to the report: it looks at sockets once each interval and checks what tracing costs."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Callable, Optional

from tracer.host.allocator import give_memory_back
from tracer.host.threads import ThreadsNow
from tracer.kernel.tasks import TaskReader
from tracer.model.finding import Report, Tick
from tracer.model.scope import Scope
from tracer.session.attached import Attached
from tracer.session.draining import USUAL, Drain, of_months
from tracer.session.guard import ENDLESS, Guard, GuardPolicy
from tracer.session.heaps import Heaps
from tracer.session.interpreters import Interpreters
from tracer.session.naming import pod_names
from tracer.session.pace import share_of, stacks_share_of
from tracer.session.part import Part
from tracer.session.ports import Ports
from tracer.session.programs import Programs
from tracer.session.reconcile import Reconciler
from tracer.session.request import Request
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.session.unread import unconfined, unread
from tracer.session.watch import Watch
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.service import StackService

_TIDY_S = 60.0
_ENDLESS_KNOWN = 24_576
"""Points of known walks, of about 1 KB."""


def _lineage(request: Request) -> Optional[bool]:
    """Whether heaps are looked at. Not by itself where the cost is limited: a look takes seconds of CPU."""
    return False if request.lineage is None and request.max_overhead is not None else request.lineage


def _hurries(stop: Stop, waiting: Callable[[], None]) -> Callable[[], bool]:
    """Whether the report was asked for. Who waits for a worker asks that again and again, for a minute if need be."""

    def asked() -> bool:
        waiting()
        return stop.asked

    return asked


class Following:
    """The loop of one session. Raises HostUnsupported if stacks cannot be read on this host."""

    def __init__(self, run: Attached) -> None:
        request, recorder = run.request, run.recorder
        self._run = run
        self._keeper = Keeper(request.debuginfod)
        most_known = _ENDLESS_KNOWN if request.endless else None
        self._service = StackService(walker=self._keeper, last_exec=recorder.last_exec, most_known=most_known)
        for process in run.processes:
            self._service.watch(process)
        self._interpreters = Interpreters(run, self._service)
        self._is_prepared = False
        policy = ENDLESS if request.endless else GuardPolicy()
        self._guard = Guard(recorder, request.max_overhead, self._keeper.cpu_s, self._keeper.pids, policy)
        self._next_tidy = time.monotonic() + _TIDY_S
        self._tasks = TaskReader()
        self._ports = Ports(run.namespaces, self._share(request.max_overhead))
        self._programs = Programs(pod_names(request.pod_names))
        stacks = StackStore(recorder, self._service, endless=request.endless, between=self._between)
        self._drain = self._draining(stacks)
        self._watch = Watch(
            recorder,
            stacks,
            self._drain,
            run.older,
            run.namespaces,
            ThreadsNow(self._tasks, self._service.read),
            Reconciler(request.scope, run.members, run.older, run.namespaces, request.wanted.linger_ns),
            request.wanted.linger_ns,
            partial(Heaps, self._keeper.holders, _lineage(request), lambda: self._keeper.hurried),
            self._programs,
            run.plan.unseen_calls(),
            share=self._share(request.max_overhead),
            endless=request.endless,
            underway=request.underway,
            hurried=lambda: self._keeper.hurried,
        )

    def _share(self, percent: Optional[float]) -> float:
        """The part of one CPU for looks. Somebody reads what a run tells that has an end."""
        return share_of(percent if self._run.request.endless else None)

    def _draining(self, stacks: StackStore) -> Drain:
        """A run of months counts what it takes of the CPU, its workers too: on a busy host time says little of that."""
        request = self._run.request
        if not request.endless or request.max_overhead is None:
            return Drain(self._run.recorder, stacks)
        policy = of_months(stacks_share_of(request.max_overhead))
        return Drain(
            self._run.recorder, stacks, policy, lambda: time.thread_time_ns() + int(self._keeper.cpu_s() * 1e9)
        )

    def _between(self) -> None:
        """Who asks waits for one box at most; not once the report was asked for, when each moment counts."""
        if not self._keeper.hurried:
            self._interpreters.answer()

    def prepare(self, stop: Stop) -> None:
        """Look at the processes that are in scope already, once."""
        self._keeper.use_hurry(_hurries(stop, self._run.request.waiting))
        if not self._is_prepared:
            self._is_prepared = True
            self._interpreters.seed()

    def until(self, stop: Stop, tick: Callable[[Tick], None]) -> None:
        """Look once each interval until ``stop`` is over. Call ``tick`` with the result of each look."""
        stop.begin()
        self.prepare(stop)
        self._watch.look_ahead(self._run.older.waiting())
        while not stop.over():
            self._service.look()
            self._run.members.look_for_programs()
            brought = self._watch.tick()
            self._guard.check()
            tick(brought)
            self._tidy()
            self._rest(stop)

    def _rest(self, stop: Stop) -> None:
        until = time.monotonic() + self._run.request.interval_s
        while not stop.over() and not stop.report_asked and (left := until - time.monotonic()) > 0:
            pressed = self._watch.relieve()
            self._interpreters.wait(stop, min(left, USUAL.pressed_s if pressed else USUAL.look_s))

    def _tidy(self) -> None:
        """In a run of months, release what nobody needs any more."""
        if self._run.request.endless and time.monotonic() >= self._next_tidy:
            self._next_tidy = time.monotonic() + _TIDY_S
            self._watch.tidy()
            self._service.forget_ended()
            self._keeper.replace_large()
            self._keeper.forgive()
            give_memory_back()

    def part(self, scope: Scope, target: str, linger_ns: int) -> Part:
        """The part of what is recorded that these filters name."""
        return Part(scope, target, linger_ns, self._run.older, self._run.namespaces)

    def report(self, part: Optional[Part] = None, *, threads: bool = True) -> Report:
        """Return everything found so far, or a part of it. What that costs is not held against the limit.

        ``threads``: with where threads are now.
        """
        return self._report(part, threads=threads)

    def summary(self) -> Report:
        """As a report of everything, with the fullest ports, but without where threads are now."""
        return replace(self._report(None, threads=False), ports=self._ports.now())

    def limit(self, percent: float) -> None:
        """Allow so much from now on."""
        self._guard.allow(percent)
        self._watch.allow(self._share(percent))
        self._ports.allow(self._share(percent))
        if self._run.request.endless:
            self._drain.allow(stacks_share_of(percent))

    def name_pods(self, where: str) -> None:
        """Have the names of pods from there from now on (:func:`tracer.session.naming.pod_names`)."""
        before, self._programs.pods = self._programs.pods, pod_names(where)
        before.close()

    @property
    def forgotten(self) -> int:
        """How many sockets that left are only counted."""
        return self._watch.forgotten

    def _report(self, part: Optional[Part], *, threads: bool = True) -> Report:
        spent = self._guard.cpu_s()
        report = self._completed(part, threads)
        self._guard.excuse(self._guard.cpu_s() - spent)
        return report

    def _completed(self, part: Optional[Part], threads: bool) -> Report:
        run, clock = self._run, self._run.clock.now()
        report = self._watch.report(run.plan, run.request.target, clock.started, clock.offset_ns, part, threads=threads)
        if run.request.from_birth:
            report = replace(report, seen=run.recorder.seen)
        if run.request.endless:
            report = replace(report, recorded_since=clock.started)
        losses = replace(report.losses, stacks_unread=self._keeper.unserved)
        report = replace(report, unread=unread(self._keeper), unconfined=unconfined(self._keeper))
        plan = report.plan + self._interpreters.refused()
        return replace(report, plan=plan, cost=self._guard.cost(), losses=losses)

    def close(self) -> None:
        """Close the files of the traced processes, and stop counting run times."""
        self._service.close()
        self._programs.pods.close()
        self._tasks.close()
        self._guard.close()
