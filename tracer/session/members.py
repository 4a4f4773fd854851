"""Which processes are in scope: found at the start, followed by the kernel side, and looked up again when asked."""

from __future__ import annotations

import os
import time
from typing import Optional

from tracer.flight.recorder import Recorder
from tracer.host import cgroups
from tracer.host.kinship import ParentOf
from tracer.host.processes import descendants, parent_of
from tracer.host.processes import pids as all_pids
from tracer.host.programs import is_called
from tracer.model.scope import Scope

_LOOK_NS = 1_000_000_000


def parents(recorder: Recorder) -> ParentOf:
    """Who forked a process, as the kernel side saw it; failing that who is its parent now."""

    def made_by(pid: int) -> Optional[int]:
        known = recorder.parent_of(pid)
        return parent_of(pid) if known is None else known

    return made_by


class Members:
    """The processes of one scope that filters by task; of any other scope everybody is a member."""

    def __init__(self, scope: Scope, recorder: Recorder) -> None:
        self._scope, self._recorder = scope, recorder
        self._seen: frozenset[int] = frozenset()
        self._seen_before: frozenset[int] = frozenset()
        self._looked_ns = 0

    def seed(self) -> None:
        """Tell the kernel side who is in scope now. To be called before attaching and again after it.

        A child that is forked while the tree is read may be missed, so it is read until nobody new is found. Who is
        forked after attaching by a member is followed by the kernel side.
        """
        self._seen = self._seen_before = frozenset()
        self._add_programs(frozenset(all_pids()) if self._scope.comm else frozenset())
        if not self._scope.follow_forks:
            return
        known: set[int] = set()
        while fresh := (self._roots() | descendants(self._roots())) - known:
            known |= fresh
            for pid in fresh:
                self._add(pid)

    def _roots(self) -> set[int]:
        return set(self._scope.pids) or (self._recorder.programs() or set())

    def _add(self, pid: int) -> None:
        if self._scope.follows_pids:
            self._recorder.add_pid(pid)
        else:
            self._recorder.add_program(pid)

    def look_for_programs(self) -> None:
        """Find processes that have begun to run the wanted program since the last look; at most once a second.

        The kernel side knows them by their executable at once; that an interpreter runs the script of that name is in
        its command line alone. A process is looked at twice, since its exec may come a moment after its fork.
        """
        begun = time.monotonic_ns()
        if not self._scope.comm or begun - self._looked_ns < _LOOK_NS:
            return
        now = frozenset(all_pids())
        self._add_programs(now - self._seen_before)
        self._seen_before, self._seen, self._looked_ns = self._seen, now, begun

    def _add_programs(self, pids: frozenset[int]) -> None:
        for pid in pids:
            if pid != os.getpid() and is_called(pid, self._scope.comm):
                self._recorder.add_program(pid)

    def now(self) -> Optional[frozenset[int]]:
        """The members that live; None if everybody is one."""
        scope = self._scope
        if not scope.by_task:
            return None
        found = set(all_pids())
        if scope.pids:
            found &= set(scope.pids) | (self._recorder.followed() or set())
        if scope.comm:
            found &= self._recorder.programs() or set()
        if scope.cgroup_path:
            found &= cgroups.pids(scope.cgroup_path)
        return frozenset(found)
