"""Joins a connection with what sock_diag and /proc know of it now."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Optional

from tracer.host.accept_queues import Place, first_holder, listening_at, queued
from tracer.host.descriptors import Descriptors, read_descriptors
from tracer.host.epoll import interests
from tracer.host.kinship import ParentOf, relation
from tracer.host.namespaces import Namespaces
from tracer.host.netns import NetnsDenied, NetnsUnreachable
from tracer.host.sockdiag import DiagSocket, SockDiagError, dump
from tracer.host.thread_tables import NO_HOLDERS, ThreadHolders, read_thread_tables, same_table
from tracer.host.threads import ThreadsNow
from tracer.model.changing import drafted, frozen, taken
from tracer.model.connection import Blocked, Connection, Endpoint, Holder
from tracer.model.frame import BlackBox, Stack
from tracer.model.states import CLOSE_WAIT, TcpState
from tracer.model.thread import ThreadState
from tracer.session.execs import Execs, LastExecOf, unknown

_LIVE = (CLOSE_WAIT, TcpState.LAST_ACK)
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
        return [one for one in self._by_cookie.values() if one.state is CLOSE_WAIT]

    def lacks(self, one: DiagSocket) -> bool:
        """Whether its namespace was listed, and it is not in CLOSE_WAIT any more."""
        now = self._by_cookie.get(one.cookie)
        return one.netns in self._taken_ns and (now is None or now.state is not CLOSE_WAIT)

    def taken_ns(self, netns: int, otherwise: int = 0) -> int:
        """When a namespace was listed; ``otherwise`` if it was not."""
        return self._taken_ns.get(netns, otherwise)


def _set_listed(c: Any, one: Optional[DiagSocket], taken_ns: int) -> None:
    """Set in a draft what the listing knows better or alone; ``taken_ns`` is when that was made."""
    if one is None:
        return
    if one.inode == 0:
        c.accepted = False
    else:
        c.inode = one.inode
        if c.passive:
            c.accepted = True
    c.cookie, c.rx_queue, c.tx_queue, c.kernel = one.cookie, one.rx_queue, one.tx_queue, one.counters(taken_ns)


def _blocked_by_fd(
    held: dict[int, tuple[Holder, ...]], threads: ThreadsNow, unwind: Unwind
) -> dict[tuple[int, int], list[Blocked]]:
    """All threads inside a call, by (whose table, fd): one pass over the threads of each process.

    After _STACKS_NS a thread goes without its stack. That is counted in ``threads.left_out``.
    """
    until_ns, threads.left_out = time.monotonic_ns() + _STACKS_NS, 0
    fds: dict[int, dict[int, set[int]]] = {}
    for several in held.values():
        for holder in several:
            fds.setdefault(holder.pid, {}).setdefault(holder.table, set()).add(holder.fd)
    calls: dict[tuple[int, int], list[Blocked]] = {}
    for pid, of_pid in fds.items():
        for thread in threads.at_work_on(pid, set().union(*of_pid.values())):
            if thread.state is ThreadState.STOPPED:
                continue  # a signal or a debugger keeps it there, not the call
            timely = time.monotonic_ns() < until_ns
            threads.left_out += not timely and thread.box is not None
            stack = unwind(thread.box) if timely and thread.box is not None else None
            for table, numbers in of_pid.items():
                if same_table(table, thread.actor.tid) is False:
                    continue  # the same number is another descriptor there
                for fd in numbers.intersection(thread.fds):
                    calls.setdefault((table, fd), []).append(Blocked(thread.actor, fd, thread.syscall or "", stack))
    return calls


def _set_side(c: Any, seen: Seen) -> None:
    """Set in a draft what the listening socket that it came in by tells, where it waits or who opened it is not known.

    A connection whose local port is listened on was accepted there, if nothing else tells who opened it. Where nobody
    listens any more, the kernel's counters may tell that this side did not open it. They may also tell that it did: a
    program can connect from the port that it listens on (SO_REUSEPORT).
    """
    if c.accepted is not False and (c.passive is not None or (c.kernel is not None and c.kernel.opened_here)):
        return
    desk = seen.desk((c.netns, c.local))
    if desk is not None:
        if c.passive is None:
            c.passive, c.accepted = True, bool(c.inode) if c.accepted is None else c.accepted
        if c.accepted is False:
            c.listener, c.listeners = next(iter(desk.queues), None), desk.queues if desk.shared else ()
        else:
            c.listener, c.listeners = desk.of(seen.holders(c.inode)), ()
    elif c.passive is None and c.kernel is not None and c.kernel.opened_here is False and c.inode:
        c.passive = c.accepted = True


class Desk:
    """Who listens at one place: made once for all of its connections, as there may be many listeners (SO_REUSEPORT).

    A connection that waits is in one of the ``queues``, given by the first holder of each; ``shared``: of several.
    ``pids`` are all who hold one of these.
    """

    def __init__(self, several: Sequence[DiagSocket], holders_of: Callable[[int], tuple[Holder, ...]]) -> None:
        full = queued(several)
        firsts = (first_holder(holders_of(one.inode)) for one in full)
        self.queues, self.shared = tuple(one for one in firsts if one is not None), len(full) > 1
        self.pids = frozenset(holder.pid for one in full for holder in holders_of(one.inode))
        self._first = first_holder(holders_of(several[0].inode))
        self._of_pid: dict[int, tuple[int, int, int, Holder]] = {}
        for number, one in enumerate(several):
            for holder in holders_of(one.inode):
                mine = (number, holder.pid, holder.fd, holder)
                self._of_pid[holder.pid] = min(mine, self._of_pid.get(holder.pid, mine), key=_ORDER)

    def of(self, holders: Iterable[Holder]) -> Optional[Holder]:
        """Who listened for a connection that ``holders`` have accepted: one of them, if one of them listens."""
        own = [found for one in holders if (found := self._of_pid.get(one.pid)) is not None]
        return min(own, key=_ORDER)[-1] if own else self._first


_ORDER = itemgetter(0, 1, 2)


@dataclass(frozen=True)
class Seen:
    """What sock_diag and /proc tell at one moment: the sockets listed, who listens where, who holds which inode."""

    listing: Diagnosed
    found: list[Optional[DiagSocket]]
    """The listed socket of each connection that was looked at, in their order."""
    listening: dict[Place, tuple[DiagSocket, ...]]
    descriptors: Descriptors
    unheld: frozenset[int] = frozenset()
    """Inodes of sockets in CLOSE_WAIT for which no descriptor was found."""
    in_threads: ThreadHolders = NO_HOLDERS
    """Who has descriptors in a table of a thread's own, for sockets that no process has in its table."""
    _desks: dict[Place, Desk] = field(default_factory=dict, repr=False, compare=False)

    def desk(self, place: Place) -> Optional[Desk]:
        """Who listens at a place; None if nobody does."""
        several = self.listening.get(place)
        if not several:
            return None
        if place not in self._desks:
            self._desks[place] = Desk(several, self.holders)
        return self._desks[place]

    def holders(self, inode: int) -> tuple[Holder, ...]:
        """Who holds a socket, nobody if it has no inode."""
        return self.descriptors.holders.get(inode, ())


def see(
    connections: Sequence[Connection],
    found: list[Optional[DiagSocket]],
    listing: Diagnosed,
    namespaces: Namespaces,
    others: Collection[DiagSocket] = (),
    more: Iterable[int] = (),
) -> Seen:
    """Look at what these connections, and ``others`` that are listed alone, are joined with.

    ``found`` is what :meth:`Diagnosed.find` gives for each connection. ``more`` are inodes whose holders are wanted
    besides.
    """
    places = [
        (c.netns, c.local)
        for c, one in zip(connections, found)
        if c.accepted is False or c.passive is None or (one is not None and not one.inode)
    ]
    listening = listening_at([*places, *((one.netns, one.local) for one in others)], namespaces)
    mine = {one.inode if one is not None and one.inode else c.inode for c, one in zip(connections, found)}
    mine.update([one.inode for one in others])
    descriptors = read_descriptors({*mine, *(one.inode for several in listening.values() for one in several), *more})
    missing = _unheld((*found, *others), descriptors, namespaces)
    if not missing:
        return Seen(listing, found, listening, descriptors)
    users = {c.owner.pid for c, one in zip(connections, found) if c.owner is not None and one and one.inode in missing}
    threads = read_thread_tables(missing, sorted(users), descriptors.unreadable)
    held = replace(descriptors, holders={**descriptors.holders, **threads.holders})
    return Seen(listing, found, listening, held, missing.difference(threads.holders), threads)


def _unheld(found: Iterable[Optional[DiagSocket]], descriptors: Descriptors, namespaces: Namespaces) -> frozenset[int]:
    """Those that no process has in its descriptor table.

    Looked at twice: a socket may have been closed, or have changed hands, between the listing and the reading.
    """
    missing = {one.netns for one in _missing(found, descriptors)}
    if not missing:
        return frozenset()
    again = _missing(Diagnosed(missing, namespaces).waiting(), descriptors)
    held = read_descriptors({one.inode for one in again}).holders
    return frozenset(one.inode for one in again if one.inode not in held)


def _missing(found: Iterable[Optional[DiagSocket]], descriptors: Descriptors) -> list[DiagSocket]:
    """Those in CLOSE_WAIT that a descriptor refers to, which was not found."""
    held = descriptors.holders
    return [one for one in found if one and one.inode and one.inode not in held and one.state is CLOSE_WAIT]


def _unheld_among(c: Connection, seen: Seen) -> Optional[int]:
    """See Connection.unheld; no descriptor was found. Whose own descriptors could not be read may well hold it."""
    unreadable = seen.descriptors.unreadable
    unread = len(unreadable) + seen.in_threads.left_out
    if c.owner is None:
        return None if unread else 0
    return None if c.owner.pid in unreadable else unread


def _related(c: Connection, holders: tuple[Holder, ...], parent_of: ParentOf) -> tuple[Holder, ...]:
    """With what each holder is to the owner; where the owner is the only one, that goes without saying."""
    owner = c.owner
    if owner is None or (len(holders) == 1 and holders[0].pid == owner.pid):
        return holders
    if {holder.pid for holder in holders} <= {owner.pid}:
        return holders
    return tuple(replace(holder, relation=relation(owner.pid, holder.pid, parent_of)) for holder in holders)


def join(
    connections: Iterable[Connection],
    namespaces: Namespaces,
    threads: ThreadsNow,
    unwind: Unwind,
    parent_of: ParentOf,
    seen: Optional[Seen] = None,
    last_exec: LastExecOf = unknown,
) -> list[Connection]:
    """The same connections with what the kernel and /proc know of them now (``seen``, if that was looked at already).

    That is: receive and send queue, counters, inode, accept state, holders, listener, epoll sets, blocked threads.
    """
    known = list(connections)
    if seen is None:
        listing = Diagnosed((c.netns for c in known), namespaces)
        seen = see(known, [listing.find(c) for c in known], listing, namespaces)
    mine = {one.inode if one is not None and one.inode else c.inode for c, one in zip(known, seen.found)}
    suspects = {inode: several for inode, several in seen.descriptors.holders.items() if inode in mine}
    calls = _blocked_by_fd(suspects, threads, unwind)
    in_tables = suspects
    if seen.in_threads.holders:  # of a thread's own table nobody has looked for epoll sets
        in_tables = {inode: several for inode, several in suspects.items() if inode not in seen.in_threads.holders}
    watched = interests(in_tables, seen.descriptors.tables)
    joined, execs = [], Execs(last_exec)
    for c, one in zip(taken(known), seen.found):
        now = drafted(c)
        _set_listed(now, one, seen.listing.taken_ns(c.netns, c.seen_ns))
        _set_side(now, seen)
        held = execs.told(now, seen.holders(now.inode))
        if calls:
            now.blocked = tuple([call for holder in held for call in calls.get((holder.table, holder.fd), ())])
        now.holders, now.interests = _related(c, held, parent_of), watched.get(now.inode)
        if now.inode in seen.unheld:
            now.unheld = _unheld_among(c, seen)
        joined.append(frozen(now, Connection))
    return joined
