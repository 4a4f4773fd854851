"""The names of the programs that were met, also of those that have ended since."""

from __future__ import annotations

from tracer.host.programs import program_of

_KEPT = 4096


class Programs:
    """Names by process, the latest that could be read."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def name(self, pid: int) -> str:
        """What to call the program of ``pid``; empty if its name could never be read."""
        now = program_of(pid)
        if now != "?":
            self._names.pop(pid, None)
            self._names[pid] = now
            if len(self._names) > _KEPT:
                del self._names[next(iter(self._names))]
        return self._names.get(pid, "")
