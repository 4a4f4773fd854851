"""Client libraries that a process could have used, for stacks whose functions have no names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tracer.diagnose.libraries import PACKAGES
from tracer.model.connection import Connection
from tracer.stacks.registry import installed


class Beside:
    """The packages of each process that was asked about, looked up once: what is installed does not change much."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, ...]] = {}

    def told(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, those that a program opened with ``packages``."""
        return [self._told(c) for c in connections]

    def _told(self, connection: Connection) -> Connection:
        if connection.passive or not connection.holders:
            return connection
        pid = connection.holders[0].pid
        if pid not in self._known:
            self._known[pid] = installed(pid, PACKAGES)
        packages = self._known[pid]
        return replace(connection, packages=packages) if packages else connection
