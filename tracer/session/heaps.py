"""Looks at the heaps of processes for who holds their sockets: when it is worth it, and never all the time."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Callable, Optional

from tracer.host.descriptors import holders, sockets_of, waits
from tracer.host.processes import comm_of
from tracer.host.sockdiag import DiagSocket
from tracer.model.changing import changed
from tracer.model.connection import Connection, Holder
from tracer.model.holder import HeapLook, Held, Limits, Lineage, Missing, SocketAt
from tracer.stacks.target.process import Process, ProcessGone
from tracer.trail import Took

_log = logging.getLogger(__name__)

ASKED = Limits(seconds=10, heap_bytes=4 << 30, scans=6)
"""With --lineage."""
BY_ITSELF = Limits(seconds=3, heap_bytes=1 << 30, scans=3)
"""For sockets that are older than the trace. A scan takes about 1.3 s of CPU for each GB of heap in use."""
_REST_NS, _PATIENCE = 10_000_000_000, 20
"""Between two looks at one process, and that as a multiple of the time that the last one took."""

_MOST_NS = 10_000_000_000
_SPENT = "looks at other processes took long enough: --lineage, or --pid with this process alone, looks at it"

Ask = Callable[[Process, Sequence[SocketAt], Limits, Callable[[], object]], Held]
"""(process, sockets, limits, what to do meanwhile) -> who holds them."""
_Key = tuple[int, int, int]


class Heaps:
    """Remembers for each socket what the last look said. ``lineage`` is as in Request.

    ``meanwhile`` is called again and again during a look. ``hurried`` says whether the report was asked for.
    """

    def __init__(
        self, ask: Ask, lineage: Optional[bool], hurried: Callable[[], bool], meanwhile: Callable[[], object]
    ) -> None:
        self._ask, self._lineage, self._hurried, self._meanwhile = ask, lineage, hurried, meanwhile
        self._limits = ASKED if lineage else BY_ITSELF
        self._known: dict[_Key, Lineage] = {}
        self._not_before_ns: dict[int, int] = {}
        self._looks: dict[int, HeapLook] = {}
        self._spent_ns = 0

    def ahead(self, waiting: Sequence[DiagSocket]) -> None:
        """Look for who holds these sockets, which were there before the trace, once and in the beginning."""
        if self._lineage is False or not waiting:
            return
        held = holders([one.inode for one in waiting])
        by_pid: dict[int, dict[_Key, SocketAt]] = defaultdict(dict)
        for one in waiting:
            for holder in held.get(one.inode, ())[:1]:
                key = (holder.pid, holder.fd, one.inode)
                by_pid[holder.pid][key] = SocketAt(holder.fd, one.local.port, one.remote.port)
        for pid, wanted in by_pid.items():
            self._look(pid, wanted)

    def told(self, connections: Sequence[Connection], *, at_end: bool = False) -> list[Connection]:
        """The same connections with who holds them. ``at_end``: what is asked for is looked at once more."""
        if self._lineage is False:
            return list(connections)
        by_pid: dict[int, dict[_Key, SocketAt]] = defaultdict(dict)
        keys: dict[tuple[int, int], _Key] = {}
        for c in connections:
            holder = self._holder(c)
            if holder is not None:
                keys[c.key] = key = (holder.pid, holder.fd, c.inode)
                by_pid[holder.pid][key] = SocketAt(holder.fd, c.local.port, c.remote.port)
        if not keys:
            return list(connections)
        for pid, wanted in by_pid.items():
            if self._is_time(pid, wanted, at_end):
                self._look(pid, wanted)
        return [
            changed(c, lineage=self._known[keys[c.key]]) if keys.get(c.key) in self._known else c for c in connections
        ]

    def looks(self) -> tuple[HeapLook, ...]:
        """The last look at each process."""
        return tuple(self._looks.values())

    def _holder(self, c: Connection) -> Optional[Holder]:
        """By whose descriptor to look for the socket: the owner's, else the first holder's; None if not to."""
        if c.closed is not None or c.ended_ns is not None or not c.inode or not c.holders:
            return None
        if not self._lineage and not (c.preexisting and c.last is None and c.opened is None):
            return None
        owner = c.owner
        return next((h for h in c.holders if owner is not None and h.pid == owner.pid), c.holders[0])

    def _is_time(self, pid: int, wanted: Iterable[_Key], at_end: bool) -> bool:
        news = any(key not in self._known for key in wanted)
        rested = time.monotonic_ns() >= self._not_before_ns.get(pid, 0)
        return (news and rested) or (at_end and (news or (bool(self._lineage) and not self._hurried())))

    def _look(self, pid: int, wanted: dict[_Key, SocketAt]) -> None:
        if self._spent_ns > _MOST_NS and not self._lineage:
            self._looks[pid] = HeapLook(pid, comm_of(pid), len(wanted), 0, _SPENT)
            return
        took, begun = Took(), time.monotonic_ns()
        try:
            process = Process.open(pid)
        except ProcessGone:
            return
        wanted = {key: replace(one, waits=waits(pid, one.fd)) for key, one in wanted.items()}
        try:
            held = self._ask(process, list(wanted.values()), self._limits, self._meanwhile)
        finally:
            process.close()
        # Python's socket objects have a descriptor and no ports: it has to be the same socket's still.
        now = sockets_of(pid)
        wanted = {key: socket for key, socket in wanted.items() if socket.fd in now.get(key[2], ())}
        ended = time.monotonic_ns()
        self._spent_ns += ended - begun
        self._not_before_ns[pid] = ended + max(_REST_NS, _PATIENCE * (ended - begun))
        if not held.lineages and not held.note:
            return
        self._take(pid, wanted, held)
        _log.debug("heap of process %d: %d sockets looked for in %s, %s", pid, len(wanted), took, held.note or "found")

    def _take(self, pid: int, wanted: dict[_Key, SocketAt], held: Held) -> None:
        by_fd = {lineage.fd: lineage for lineage in held.lineages}
        for key, socket in wanted.items():
            lineage = by_fd.get(socket.fd)
            if lineage is not None and (lineage.missing is not Missing.MOVED or key not in self._known):
                self._known[key] = lineage
        found = sum(key in self._known and self._known[key].root is not None for key in wanted)
        note = held.note if any(key not in self._known for key in wanted) else ""
        self._looks[pid] = HeapLook(
            pid, comm_of(pid), len(wanted), found, note, held.heap_bytes, held.scans, held.collector
        )
