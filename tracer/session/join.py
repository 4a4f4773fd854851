"""Joins a connection with what sock_diag and /proc know of it now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Optional

from tracer.errors import ClosetraceError
from tracer.host.accept_queues import listeners_of
from tracer.host.descriptors import holders
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import DiagSocket, dump
from tracer.host.threads import ThreadsNow
from tracer.model.connection import Blocked, Connection, Endpoint, Holder
from tracer.model.frame import BlackBox, Stack
from tracer.model.states import TcpState

_LIVE = (TcpState.CLOSE_WAIT, TcpState.LAST_ACK)
Unwind = Callable[[BlackBox], Stack]
Tuple4 = tuple[int, Endpoint, Endpoint]


class Diagnosed:
    """One listing of the sockets that the kernel has in CLOSE_WAIT or LAST_ACK, by cookie and by addresses."""

    def __init__(self, netns: Iterable[int], namespaces: Namespaces) -> None:
        self._by_cookie: dict[int, DiagSocket] = {}
        self._by_tuple: dict[Tuple4, DiagSocket] = {}
        for inode in set(netns):
            try:
                found = dump(_LIVE, namespaces.path(inode))
            except ClosetraceError:
                continue  # the namespace is gone: its sockets are reported without their queues
            for one in found:
                self._by_cookie[one.cookie] = one
                self._by_tuple[one.netns, one.local, one.remote] = one

    def find(self, connection: Connection) -> Optional[DiagSocket]:
        """The socket that is this connection, by cookie where the kernel gave one before the record was made."""
        found = self._by_cookie.get(connection.cookie) if connection.cookie else None
        return found or self._by_tuple.get((connection.netns, connection.local, connection.remote))


def _of_diag(connection: Connection, found: Optional[DiagSocket]) -> dict[str, Any]:
    """What the listing knows better or alone, as fields of the connection."""
    if found is None:
        return {"inode": connection.inode, "accepted": connection.accepted}
    accepted = connection.accepted
    if found.inode == 0:
        accepted = False
    elif connection.passive:
        accepted = True
    return {
        "cookie": found.cookie,
        "inode": found.inode or connection.inode,
        "rx_queue": found.rx_queue,
        "accepted": accepted,
    }


def _blocked_by_fd(
    held: dict[int, tuple[Holder, ...]], threads: ThreadsNow, unwind: Unwind
) -> dict[tuple[int, int], list[Blocked]]:
    """All threads inside a call, by (pid, fd): one pass over the threads of each process."""
    fds: dict[int, set[int]] = {}
    for several in held.values():
        for holder in several:
            fds.setdefault(holder.pid, set()).add(holder.fd)
    calls: dict[tuple[int, int], list[Blocked]] = {}
    for pid, numbers in fds.items():
        for thread in threads.at_work_on(pid, numbers):
            stack = unwind(thread.box) if thread.box is not None else None
            for fd in numbers.intersection(thread.fds):
                calls.setdefault((pid, fd), []).append(Blocked(thread.actor, fd, thread.syscall or "", stack))
    return calls


def join(
    connections: Iterable[Connection], namespaces: Namespaces, threads: ThreadsNow, unwind: Unwind
) -> list[Connection]:
    """The same connections with receive queue, inode, accept state, holders, listener and blocked threads of now."""
    known = list(connections)
    listing = Diagnosed((c.netns for c in known), namespaces)
    told = [_of_diag(c, listing.find(c)) for c in known]
    held = holders([fields["inode"] for fields in told if fields["inode"]])
    calls = _blocked_by_fd(held, threads, unwind)
    queues = listeners_of((c for c, fields in zip(known, told) if fields["accepted"] is False), namespaces)
    joined = []
    for c, fields in zip(known, told):
        mine = held.get(fields["inode"], ())
        inside = tuple(call for holder in mine for call in calls.get((holder.pid, holder.fd), ())) if calls else ()
        listener = queues.get((c.netns, c.local)) if queues else None
        joined.append(replace(c, **fields, holders=mine, blocked=inside, listener=listener))
    return joined
