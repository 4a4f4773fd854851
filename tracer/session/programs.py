"""The programs that were met, also of processes that have ended since: what they are called, and where they belong."""

from __future__ import annotations

from tracer.host.belonging import identity_of
from tracer.host.podnames import PodNames
from tracer.host.processes import start_ticks_of
from tracer.host.programs import program_of
from tracer.model.identity import NOBODY, Identity

_KEPT = 4096


class Programs:
    """Names by process, the latest that could be read; identities as they were when a process was first asked for.

    ``pods`` names pods and their containers.
    """

    def __init__(self, pods: PodNames) -> None:
        self.pods = pods
        self._names: dict[int, str] = {}
        self._identities: dict[int, tuple[int, Identity]] = {}

    def name(self, pid: int) -> str:
        """What to call the program of ``pid``; empty if its name could never be read."""
        now = program_of(pid)
        if now != "?":
            self._names.pop(pid, None)
            self._names[pid] = now
            if len(self._names) > _KEPT:
                del self._names[next(iter(self._names))]
        return self._names.get(pid, "")

    def met(self, pid: int) -> str:
        """The same, without a look at a process whose name was read before."""
        return self._names.get(pid) or self.name(pid)

    def identity(self, pid: int) -> Identity:
        """Where ``pid`` belongs. A process is asked once; one that has ended is told as it was.

        The names of its pod may be known later than its cgroup.
        """
        return self.pods.named(self._cgroups(pid))

    def _cgroups(self, pid: int) -> Identity:
        started = start_ticks_of(pid)
        known = self._identities.get(pid)
        if known is not None and started in (None, known[0]):
            return known[1]
        if started is None:
            return NOBODY
        found = identity_of(pid)
        self._identities.pop(pid, None)
        self._identities[pid] = (started, found)
        if len(self._identities) > _KEPT:
            del self._identities[next(iter(self._identities))]
        return found
