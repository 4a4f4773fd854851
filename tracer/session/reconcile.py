"""The report held against the kernel's own list: every socket in CLOSE_WAIT is told, or counted with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from tracer.errors import ClosetraceError
from tracer.host.matching import matches
from tracer.host.namespaces import Namespaces
from tracer.host.processes import comm_of, descendants
from tracer.host.sockdiag import DiagSocket, dump_mptcp
from tracer.model.changing import changed
from tracer.model.connection import Connection, Holder
from tracer.model.finding import Ended, Finding, Process, Reconciliation
from tracer.model.scope import Scope
from tracer.model.states import TcpState
from tracer.session.join import Diagnosed, Seen, see
from tracer.session.preexisting import Preexisting, fin_before_ns
from tracer.session.strangers import InScope, Strangers

_NO_PIDS: frozenset[int] = frozenset()
_NO_COOKIES: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Rest:
    """A listed socket of which no record tells, and who has to do with it: holders, or its listener's.

    ``fin_before_ns`` is when FIN had come at the latest. A host may have many that are nobody's in scope.
    """

    listed: DiagSocket
    fin_before_ns: int
    pids: frozenset[int]
    lingers: bool
    mine: bool


@dataclass(frozen=True)
class Comparison:
    """One look at the kernel's list. ``members`` is None if every process is in scope.

    ``found`` is what is to be told besides what was recorded: in scope, over the threshold. ``listed`` are cookies.
    ``seen`` is what all of that is joined with, what was recorded before what was ``found``. It is large, and None once
    that was done. ``holders_missing``: there is a socket with a descriptor that was found nowhere. ``passed_over``
    counts what was listed and not looked at, as nobody in scope, and no descendant of theirs, can have it. ``left`` are
    cookies of what was in CLOSE_WAIT at the start and is not now.
    """

    found: Sequence[Connection]
    seen: Optional[Seen]
    listed: Sequence[int]
    holders_missing: bool
    unreadable: tuple[int, ...]
    young: Collection[int]
    rest: Sequence[Rest]
    members: Optional[frozenset[int]]
    relatives: frozenset[int]
    namespaces: int
    failed: int
    mptcp: int
    passed_over: int = 0
    left: frozenset[int] = _NO_COOKIES

    def outcome(self, findings: Sequence[Finding], ended: Iterable[Ended] = ()) -> Reconciliation:
        """The figures, once it is known what is told, and which sockets that left have a record (``ended``)."""
        told = {f.connection.cookie for f in findings if f.connection.ended_ns is None}
        recorded = {f.connection.cookie for f in findings} | {gone.connection.cookie for gone in ended}
        left = [one for one in self.rest if one.listed.cookie not in told]
        younger = [one for one in left if not one.lingers and (one.mine or one.pids & self.relatives)]
        others = [one for one in left if one.lingers or not (one.mine or one.pids & self.relatives)]
        theirs = [one for one in others if one.pids & self.relatives]
        strangers = [one for one in others if not one.pids & self.relatives]
        unreadable = self.unreadable
        hiding = _NO_PIDS if self.members is None else (self.members | self.relatives) & frozenset(unreadable)
        return Reconciliation(
            complete=not self.failed and not hiding,
            namespaces=self.namespaces,
            listed=len(self.listed),
            told=sum(cookie in told for cookie in self.listed),
            younger=len(younger) + sum(cookie in self.young and cookie not in told for cookie in self.listed),
            out_of_scope=sum(bool(one.pids) for one in strangers) + self.passed_over,
            without_holder=sum(not one.pids for one in strangers),
            descendants_sockets=len(theirs),
            descendants=_holding(theirs, self.relatives),
            mptcp=self.mptcp,
            left=len(self.left - recorded),
            matters=bool(unreadable) and (bool(hiding) or self.holders_missing),
            unreadable=tuple(Process(pid, comm_of(pid)) for pid in unreadable),
            unreadable_namespaces=self.failed,
        )


def _holding(theirs: Iterable[Rest], relatives: frozenset[int]) -> tuple[Process, ...]:
    """The relatives that hold them, who holds the most first."""
    counts = Counter(pid for one in theirs for pid in one.pids & relatives)
    ordered = sorted(counts.items(), key=lambda held: (-held[1], held[0]))
    return tuple(Process(pid, comm_of(pid), count) for pid, count in ordered)


class Reconciler:
    """Looks at the kernel's list once, at the report. ``linger_ns`` is the threshold.

    ``may_have`` tells of a listed socket whether a process in scope or a descendant of theirs may have it, where that
    is known already. All others need not be looked at then: a busy host has many.
    """

    def __init__(
        self,
        scope: Scope,
        members: InScope,
        older: Preexisting,
        namespaces: Namespaces,
        linger_ns: int,
        may_have: Optional[Callable[[DiagSocket], bool]] = None,
    ) -> None:
        self._scope, self._members, self._older = scope, members, older
        self._namespaces, self._linger_ns = namespaces, linger_ns
        self._may_have = may_have
        self.strangers = Strangers(members, namespaces)
        self._was_here = older.waited if scope == older.scope else _nobodys

    def look(self, now_ns: int, recorded: Sequence[Connection], young: Sequence[Connection] = ()) -> Comparison:
        """Compare. ``recorded`` are the connections that will be told, ``young`` records just below the threshold.

        ``now_ns`` (CLOCK_MONOTONIC) is when those were chosen. A socket that passes the threshold after that is younger
        for the kernel's list, too: its record has not been read, and without it its calls would be missing.
        """
        members = self._members.now()
        spaces = self._namespaces.of_scope(self._scope, members)
        denied = self._namespaces.denied
        older = self._were_here(members)
        spaces = tuple(dict.fromkeys((*spaces, *(one.netns for one in older))))
        listing = Diagnosed({*spaces, *(c.netns for c in recorded)}, self._namespaces)
        listed = [one for one in listing.waiting() if one.netns in spaces and self._matches(one)]
        found = [listing.find(c) for c in recorded]
        known = {one.cookie for one in found if one is not None}
        below = frozenset(one.cookie for c in young if (one := listing.find(c)) is not None)
        others = [one for one in listed if one.cookie not in known and one.cookie not in below]
        rest = others if self._may_have is None else [one for one in others if self._may_have(one)]
        mptcp = self._mptcp(spaces)
        seen = see(recorded, found, listing, self._namespaces, rest, more=[one.inode for one in mptcp])
        told = [self._rest(one, seen, members, now_ns) for one in rest]
        strange = any(one.pids and not one.mine for one in told) or bool(seen.descriptors.unreadable)
        besides = [one for one in told if one.mine and one.lingers]
        found += [one.listed for one in besides]
        relatives = descendants(members) - members if members and strange else set()
        return Comparison(
            found=[self._connection(one, listing) for one in besides],
            seen=seen,
            listed=[one.cookie for one in listed],
            holders_missing=any(one.inode and not seen.holders(one.inode) for one in listed),
            unreadable=seen.descriptors.unreadable,
            young=below,
            rest=told,
            members=members,
            relatives=frozenset(relatives),
            namespaces=len(spaces),
            failed=denied + len(listing.failed),
            mptcp=sum(members is None or bool(_pids(seen.holders(one.inode)) & members) for one in mptcp),
            passed_over=len(others) - len(rest),
            left=frozenset(one.cookie for one in older if listing.lacks(one)),
        )

    def _were_here(self, members: Optional[frozenset[int]]) -> tuple[DiagSocket, ...]:
        """What is to be looked for of the sockets in scope that were in CLOSE_WAIT at the start.

        Nothing tells when one leaves that no call touched, so of a young one it is not known whether it lingered. While
        processes in scope live, most of those were about to be closed. Once all have ended, what they had kept counts.
        """
        if self._scope != self._older.scope:
            return ()  # who held them then is not known
        ended = members is not None and not members
        return self._older.waiting() if ended else self._older.lingered(self._linger_ns)

    def _matches(self, one: DiagSocket) -> bool:
        return matches(self._scope, one.netns, one.local, one.remote)

    def _mptcp(self, spaces: Iterable[int]) -> list[DiagSocket]:
        found: list[DiagSocket] = []
        for netns in spaces:
            try:
                found += dump_mptcp((TcpState.CLOSE_WAIT,), self._namespaces.path(netns))
            except ClosetraceError:
                continue  # the list of TCP sockets, asked for in the same way, tells of namespaces that cannot be read
        return [one for one in found if self._matches(one)]

    def _connection(self, rest: Rest, listing: Diagnosed) -> Connection:
        """The socket as sock_diag lists it: nothing is recorded of it."""
        one = rest.listed
        bare = Connection(
            sk=0,
            birth_ns=one.cookie,
            local=one.local,
            remote=one.remote,
            state=one.state,
            seen_ns=listing.taken_ns(one.netns),
            netns=one.netns,
            cookie=one.cookie,
            inode=one.inode,
            accepted=False if one.inode == 0 else None,
            fin_before_ns=rest.fin_before_ns,
            rx_queue=one.rx_queue,
        )
        crowded_out = self._older.crowded_out(one.cookie)
        older = not crowded_out and self._older.is_older(bare)
        return changed(bare, preexisting=older, unrecorded=not older, crowded_out=crowded_out)

    def _rest(self, one: DiagSocket, seen: Seen, members: Optional[frozenset[int]], now_ns: int) -> Rest:
        desk = seen.desk((one.netns, one.local)) if not one.inode else None
        pids = desk.pids if desk is not None else _pids(seen.holders(one.inode))
        mine = members is None or self._was_here(one.cookie) or bool(pids & members)
        before = self._older.fin_before_ns(one.cookie)
        before_ns = before if before is not None else fin_before_ns(one, seen.listing.taken_ns(one.netns))
        return Rest(one, before_ns, pids, now_ns - before_ns >= self._linger_ns, mine)


def _nobodys(_cookie: int) -> bool:
    """The older sockets of another scope were not looked at for this one: who holds them now decides."""
    return False


def _pids(holders: Iterable[Holder]) -> frozenset[int]:
    return frozenset(holder.pid for holder in holders)
