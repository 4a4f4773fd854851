"""Joins a connection with what sock_diag and /proc know of it now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Optional

from tracer.errors import ClosetraceError
from tracer.host.accept_queues import first_holder, listening_at
from tracer.host.descriptors import holders
from tracer.host.epoll import interests
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
        self._taken_ns: dict[int, int] = {}
        for inode in set(netns):
            try:
                found = dump(_LIVE, namespaces.path(inode))
            except ClosetraceError:
                continue  # the namespace is gone: its sockets are reported without their queues
            self._taken_ns[inode] = time.monotonic_ns()
            for one in found:
                self._by_cookie[one.cookie] = one
                self._by_tuple[one.netns, one.local, one.remote] = one

    def find(self, connection: Connection) -> Optional[DiagSocket]:
        """The socket that is this connection, by cookie where the kernel gave one before the record was made."""
        found = self._by_cookie.get(connection.cookie) if connection.cookie else None
        return found or self._by_tuple.get((connection.netns, connection.local, connection.remote))

    def told(self, connection: Connection) -> dict[str, Any]:
        """What the listing knows better or alone, as fields of the connection."""
        found = self.find(connection)
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
            "tx_queue": found.tx_queue,
            "kernel": found.counters(self._taken_ns.get(connection.netns, connection.seen_ns)),
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


def _came_in(c: Connection, fields: dict[str, Any]) -> bool:
    """Whether to look for the listening socket that it came in by: it waits there, or who opened it is not known."""
    return fields["accepted"] is False or c.passive is None


def _by_port(c: Connection, fields: dict[str, Any], listener: Optional[Holder]) -> dict[str, Any]:
    """A connection whose local port is listened on was accepted there, if nothing else tells who opened it."""
    if c.passive is not None:
        return {"listener": listener}
    accepted = bool(fields["inode"]) if fields["accepted"] is None else fields["accepted"]
    return {"listener": listener, "passive": True, "accepted": accepted}


def join(
    connections: Iterable[Connection], namespaces: Namespaces, threads: ThreadsNow, unwind: Unwind
) -> list[Connection]:
    """The same connections with what the kernel and /proc know of them now.

    That is: receive and send queue, counters, inode, accept state, holders, listener, epoll sets, blocked threads.
    """
    known = list(connections)
    listing = Diagnosed((c.netns for c in known), namespaces)
    told = [listing.told(c) for c in known]
    listening = listening_at(((c.netns, c.local) for c, fields in zip(known, told) if _came_in(c, fields)), namespaces)
    mine = {fields["inode"] for fields in told if fields["inode"]}
    held = holders({*mine, *(one.inode for one in listening.values())})
    suspects = {inode: several for inode, several in held.items() if inode in mine}
    calls = _blocked_by_fd(suspects, threads, unwind)
    watched = interests(suspects)
    joined = []
    for c, fields in zip(known, told):
        its = held.get(fields["inode"], ())
        inside = tuple(call for holder in its for call in calls.get((holder.pid, holder.fd), ())) if calls else ()
        one = listening.get((c.netns, c.local)) if _came_in(c, fields) else None
        side = {} if one is None else _by_port(c, fields, first_holder(held.get(one.inode, ())))
        now = {**fields, "holders": its, "blocked": inside, "interests": watched.get(fields["inode"]), **side}
        joined.append(replace(c, **now))
    return joined
