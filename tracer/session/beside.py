"""Client libraries that a process could have used, for stacks whose functions have no names."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnose.libraries import PACKAGES
from tracer.host.processes import process_info
from tracer.model.changing import changed
from tracer.model.connection import Connection
from tracer.stacks.registry import installed

_MOST = 1000


class Beside:
    """The packages of each process that was asked about, looked up once: what is installed does not change much."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[str, ...]] = {}

    def told(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, those that a program opened with ``packages``."""
        known = list(connections)
        pids = {c.holders[0].pid for c in known if c.holders and not c.passive}
        packages = {pid: several for pid in pids if (several := self._of(pid))}
        return [_with(c, packages) for c in known] if packages else known

    def _of(self, pid: int) -> tuple[str, ...]:
        info = process_info(pid)
        if info is None:
            return ()
        if len(self._known) >= _MOST:
            self._known.clear()
        key = (pid, info.start_ticks)
        if key not in self._known:
            self._known[key] = installed(pid, PACKAGES)
        return self._known[key]


def _with(connection: Connection, packages: dict[int, tuple[str, ...]]) -> Connection:
    if connection.passive or not connection.holders:
        return connection
    several = packages.get(connection.holders[0].pid)
    return changed(connection, packages=several) if several else connection
