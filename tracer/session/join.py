"""Joins a connection with what sock_diag and /proc know of it now."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Optional

from tracer.host.accept_queues import Place, first_holder, listening_at
from tracer.host.descriptors import Descriptors, read_descriptors
from tracer.host.epoll import interests
from tracer.host.kinship import ParentOf, relation
from tracer.host.namespaces import Namespaces
from tracer.host.netns import NetnsDenied, NetnsUnreachable
from tracer.host.sockdiag import DiagSocket, SockDiagError, dump
from tracer.host.threads import ThreadsNow
from tracer.model.changing import changed, taken
from tracer.model.connection import Blocked, Connection, Endpoint, Holder, KernelCounters
from tracer.model.frame import BlackBox, Stack
from tracer.model.states import TcpState
from tracer.model.thread import ThreadState

_LIVE = (TcpState.CLOSE_WAIT, TcpState.LAST_ACK)
_STACKS_NS = 6_000_000_000
"""How long one pass over threads reads their stacks: some thousands, where each one is new."""
Unwind = Callable[[BlackBox], Stack]
Tuple4 = tuple[int, Endpoint, Endpoint]


class Diagnosed:
    """One listing of the sockets that the kernel has in CLOSE_WAIT or LAST_ACK, by cookie and by addresses.

    ``failed`` are the namespaces that could not be listed though they are there.
    """

    def __init__(self, netns: Iterable[int], namespaces: Namespaces) -> None:
        self._by_cookie: dict[int, DiagSocket] = {}
        self._by_tuple: dict[Tuple4, DiagSocket] = {}
        self._taken_ns: dict[int, int] = {}
        self.failed: list[int] = []
        for inode in set(netns):
            try:
                found = dump(_LIVE, namespaces.path(inode))
            except (NetnsDenied, SockDiagError):
                self.failed.append(inode)
                continue
            except NetnsUnreachable:
                continue  # the namespace is gone: its sockets are reported without their queues
            self._taken_ns[inode] = time.monotonic_ns()
            for one in found:
                self._by_cookie[one.cookie] = one
                self._by_tuple[one.netns, one.local, one.remote] = one

    def find(self, connection: Connection) -> Optional[DiagSocket]:
        """The socket that is this connection, by cookie where the kernel gave one before the record was made."""
        found = self._by_cookie.get(connection.cookie) if connection.cookie else None
        return found or self._by_tuple.get((connection.netns, connection.local, connection.remote))

    def waiting(self) -> list[DiagSocket]:
        """Those in CLOSE_WAIT."""
        return [one for one in self._by_cookie.values() if one.state is TcpState.CLOSE_WAIT]

    def taken_ns(self, netns: int) -> int:
        """When a namespace was listed."""
        return self._taken_ns[netns]

    def inode(self, connection: Connection) -> int:
        """Its inode: the listing's, or the one that is known already; 0 if there is none."""
        found = self.find(connection)
        return found.inode or connection.inode if found is not None else connection.inode

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
    """All threads inside a call, by (pid, fd): one pass over the threads of each process.

    After _STACKS_NS a thread goes without its stack. That is counted in ``threads.left_out``.
    """
    until_ns, threads.left_out = time.monotonic_ns() + _STACKS_NS, 0
    fds: dict[int, set[int]] = {}
    for several in held.values():
        for holder in several:
            fds.setdefault(holder.pid, set()).add(holder.fd)
    calls: dict[tuple[int, int], list[Blocked]] = {}
    for pid, numbers in fds.items():
        for thread in threads.at_work_on(pid, numbers):
            if thread.state is ThreadState.STOPPED:
                continue  # a signal or a debugger keeps it there, not the call
            timely = time.monotonic_ns() < until_ns
            threads.left_out += not timely and thread.box is not None
            stack = unwind(thread.box) if timely and thread.box is not None else None
            for fd in numbers.intersection(thread.fds):
                calls.setdefault((pid, fd), []).append(Blocked(thread.actor, fd, thread.syscall or "", stack))
    return calls


def _came_in(c: Connection, fields: dict[str, Any]) -> bool:
    """Whether to look for the listening socket that it came in by: it waits there, or who opened it is not known."""
    return fields["accepted"] is False or c.passive is None


def _by_counters(fields: dict[str, Any]) -> dict[str, Any]:
    """A connection that this side did not open, as the kernel counts: where it came in nobody listens any more."""
    kernel: Optional[KernelCounters] = fields.get("kernel")
    if kernel is None or kernel.opened_here is not False or not fields["inode"]:
        return {}
    return {"passive": True, "accepted": True}


def _by_port(c: Connection, fields: dict[str, Any], listener: Optional[Holder]) -> dict[str, Any]:
    """A connection whose local port is listened on was accepted there, if nothing else tells who opened it."""
    if c.passive is not None:
        return {"listener": listener}
    accepted = bool(fields["inode"]) if fields["accepted"] is None else fields["accepted"]
    return {"listener": listener, "passive": True, "accepted": accepted}


@dataclass(frozen=True)
class Seen:
    """What sock_diag and /proc tell at one moment: the sockets listed, who listens where, who holds which inode."""

    listing: Diagnosed
    listening: dict[Place, DiagSocket]
    descriptors: Descriptors
    unheld: frozenset[int] = frozenset()
    """Inodes of sockets in CLOSE_WAIT for which no descriptor was found."""

    def holders(self, inode: int) -> tuple[Holder, ...]:
        """Who holds a socket, nobody if it has no inode."""
        return self.descriptors.holders.get(inode, ())


def see(
    connections: Iterable[Connection],
    listing: Diagnosed,
    namespaces: Namespaces,
    others: Collection[DiagSocket] = (),
    more: Iterable[int] = (),
) -> Seen:
    """Look at what these connections, and ``others`` that are listed alone, are joined with.

    ``more`` are inodes whose holders are wanted besides.
    """
    found = [(c, listing.find(c)) for c in connections]
    places = [(c.netns, c.local) for c, one in found if _may_have_come_in(c, one)]
    listening = listening_at([*places, *((one.netns, one.local) for one in others)], namespaces)
    mine = {one.inode if one is not None and one.inode else c.inode for c, one in found}
    mine.update(one.inode for one in others)
    descriptors = read_descriptors({*mine, *(one.inode for one in listening.values()), *more})
    every = [*(one for _, one in found if one is not None), *others]
    return Seen(listing, listening, descriptors, _unheld(every, descriptors, namespaces))


def _may_have_come_in(c: Connection, one: Optional[DiagSocket]) -> bool:
    return c.accepted is False or c.passive is None or (one is not None and not one.inode)


def _unheld(found: Iterable[DiagSocket], descriptors: Descriptors, namespaces: Namespaces) -> frozenset[int]:
    """Looked at twice: a socket may have been closed, or have changed hands, between the listing and the reading."""
    missing = {one.netns for one in found if _is_missing(one, descriptors)}
    if not missing:
        return frozenset()
    again = [one for one in Diagnosed(missing, namespaces).waiting() if _is_missing(one, descriptors)]
    held = read_descriptors({one.inode for one in again}).holders
    return frozenset(one.inode for one in again if one.inode not in held)


def _is_missing(one: DiagSocket, descriptors: Descriptors) -> bool:
    return one.state is TcpState.CLOSE_WAIT and bool(one.inode) and one.inode not in descriptors.holders


def _unheld_among(c: Connection, inode: int, seen: Seen) -> Optional[int]:
    """See Connection.unheld. Whose own descriptors could not be read may well hold it."""
    unreadable = seen.descriptors.unreadable
    if inode not in seen.unheld or (c.owner is None and unreadable):
        return None
    return None if c.owner is not None and c.owner.pid in unreadable else len(unreadable)


def _related(c: Connection, holders: tuple[Holder, ...], parent_of: ParentOf) -> tuple[Holder, ...]:
    """With what each holder is to the owner; where the owner is the only one, that goes without saying."""
    owner = c.owner
    if owner is None or all(holder.pid == owner.pid for holder in holders):
        return holders
    return tuple(replace(holder, relation=relation(owner.pid, holder.pid, parent_of)) for holder in holders)


def join(
    connections: Iterable[Connection],
    namespaces: Namespaces,
    threads: ThreadsNow,
    unwind: Unwind,
    parent_of: ParentOf,
    seen: Optional[Seen] = None,
) -> list[Connection]:
    """The same connections with what the kernel and /proc know of them now (``seen``, if that was looked at already).

    That is: receive and send queue, counters, inode, accept state, holders, listener, epoll sets, blocked threads.
    """
    known = list(connections)
    if seen is None:
        seen = see(known, Diagnosed((c.netns for c in known), namespaces), namespaces)
    mine = {inode for inode in map(seen.listing.inode, known) if inode}
    suspects = {inode: several for inode, several in seen.descriptors.holders.items() if inode in mine}
    calls = _blocked_by_fd(suspects, threads, unwind)
    watched = interests(suspects, seen.descriptors.tables)
    joined = []
    for c in taken(known):
        fields = seen.listing.told(c)
        inode = fields["inode"]
        its = seen.holders(inode)
        inside = tuple(call for holder in its for call in calls.get((holder.pid, holder.fd), ())) if calls else ()
        one = seen.listening.get((c.netns, c.local)) if _came_in(c, fields) else None
        if one is not None:
            side = _by_port(c, fields, first_holder(seen.holders(one.inode)))
        else:
            side = _by_counters(fields) if c.passive is None else {}
        now = {**fields, "holders": _related(c, its, parent_of), "blocked": inside, "interests": watched.get(inode)}
        joined.append(changed(c, **{**now, **side}, unheld=_unheld_among(c, inode, seen)))
    return joined
