"""Whether a unit or a container that is recorded has restarted: then the kernel side does not know it any more."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Callable, Optional

from tracer.host import cgroups, groups
from tracer.host.processes import start_ticks_of
from tracer.model.scope import Scope

LOOK_S = 10.0
"""How often to look: to begin anew costs seconds, and a unit may restart often."""

Process = tuple[int, int]
"""Its number, and its start in ticks."""


class Renewal:
    """Watches what ``scope`` stands for. ``find`` looks for it again by the name that a person gave, if it has one."""

    def __init__(self, scope: Scope, find: Optional[Callable[[], groups.Found]] = None) -> None:
        self._scope, self._find = scope, find
        self._next = time.monotonic() + LOOK_S
        self._oldest = _oldest(scope.pids) if find is not None and not scope.cgroup_path else None

    def look(self, members: Callable[[], Optional[Collection[int]]]) -> Optional[Scope]:
        """The scope that stands for the same now, if it is another one. ``members`` gives the processes in scope."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + LOOK_S
        if self._scope.cgroup_path:
            return self._other_cgroup()
        return self._other_processes(members) if self._oldest is not None else None

    def _other_cgroup(self) -> Optional[Scope]:
        scope = self._scope
        try:
            found, path = cgroups.find(scope.cgroup_path)
        except cgroups.NoCgroup:
            paths = self._find().paths if self._find is not None else ()
            if len(paths) != 1:
                return None  # it has ended, and may come again
            try:
                found, path = cgroups.find(paths[0])
            except cgroups.NoCgroup:
                return None
        return None if found == scope.cgroup else replace(scope, cgroup=found, cgroup_path=path)

    def _other_processes(self, members: Callable[[], Optional[Collection[int]]]) -> Optional[Scope]:
        """On cgroups of version 1. The oldest process is the one that a service manager starts: while it lives, the
        others are its children. So all processes are looked at only after its end.
        """
        if self._find is None or self._oldest is None or start_ticks_of(self._oldest[0]) == self._oldest[1]:
            return None
        pids = self._find().pids
        if not pids:
            return None
        self._oldest = _oldest(pids) or self._oldest
        new = set(pids).difference(self._scope.pids, members() or ())
        return replace(self._scope, pids=pids) if new else None


def _oldest(pids: Iterable[int]) -> Optional[Process]:
    begun = ((start_ticks_of(pid), pid) for pid in pids)
    living = [(start, pid) for start, pid in begun if start is not None]
    start, pid = min(living, default=(0, 0))
    return (pid, start) if pid else None
