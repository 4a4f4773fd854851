"""Which threads wait in poll or select for which of a site's sockets: the memory of their processes tells that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import NamedTuple

from tracer.host.thread_tables import same_table
from tracer.model.finding import Site, Verdict
from tracer.model.thread import Polled, Present, ThreadNow

Thread = tuple[int, int]

_NOT_TOLD = frozenset(
    {
        Verdict.IDLE_IN_POOL,
        Verdict.NOT_RELEASED,
        Verdict.NOT_READ_SINCE,
        Verdict.NEVER_READ,
        Verdict.READING_PAUSED,
        Verdict.UNREAD_DATA,
        Verdict.UNKNOWN,
    }
)
"""Of these sockets it matters whether somebody waits for them."""


def polled_of(sites: Iterable[Site]) -> dict[int, set[int]]:
    """The descriptors of the sites' sockets by the processes that hold them, where it matters who polls these."""
    found: dict[int, set[int]] = defaultdict(set)
    for site in sites:
        for finding in site.findings if site.verdict in _NOT_TOLD else ():
            for holder in finding.connection.holders:
                found[holder.pid].add(holder.fd)
    return found


def pollers_of(site: Site) -> frozenset[int]:
    """The processes whose threads may poll the site's sockets, if that matters."""
    if site.verdict not in _NOT_TOLD:
        return frozenset()
    return frozenset(holder.pid for finding in site.findings for holder in finding.connection.holders)


_MOST_KEPT = 1 << 17
"""So many descriptors of all calls are kept: some 10 MB. Programs choose how many threads poll how many of them."""


class _Call(NamedTuple):
    """A poll or select: all its descriptors, those of which it is not told when the peer hangs up, and who is in it."""

    fds: frozenset[int]
    not_to_end: frozenset[int]
    told: Present


class Polls:
    """The threads that were found inside poll or select, by (pid, tid), with the descriptors of the call."""

    def __init__(self) -> None:
        self._calls: dict[Thread, _Call] = {}
        self._kept = 0

    def add(self, thread: ThreadNow, told: Present) -> None:
        """A thread inside poll or select, and what is told of it.

        Where its descriptors could not be read, or are too many with those of the others, what it polls is not known.
        """
        if not thread.fds or self._kept + len(thread.fds) > _MOST_KEPT:
            return
        self._kept += len(thread.fds)
        fds = frozenset(thread.fds)
        self._calls[thread.actor.pid, thread.actor.tid] = _Call(fds, fds - thread.to_end, told)

    def of_site(self, site: Site, found: Iterable[Present]) -> list[Present]:
        """``found``, single threads, with how these poll the site's sockets; and others that wait for one of them."""
        if not self._calls:
            return list(found)  # the site may have 100,000 sockets
        held: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for finding in site.findings:
            for holder in finding.connection.holders:
                held[holder.pid][holder.table].add(holder.fd)
        known = {(one.threads[0].pid, one.threads[0].tid): one for one in found}
        polled = {
            at: _polled(call, _of_thread(at[1], call.fds, held[at[0]]))
            for at, call in self._calls.items()
            if at[0] in held
        }
        told = [replace(one, polls=polled.get(at)) for at, one in known.items()]
        others = {at: how for at, how in polled.items() if at not in known and any(how)}
        return [*told, *(replace(self._calls[at].told, polls=how) for at, how in others.items())]


def _of_thread(tid: int, fds: Set[int], held: Mapping[int, Set[int]]) -> frozenset[int]:
    """Which of ``fds`` are sockets of ``held``, by whose table: the same number is another file in another table."""
    tables = {table: fds & mine for table, mine in held.items()}
    return frozenset().union(
        *(found for table, found in tables.items() if found and same_table(table, tid) is not False)
    )


def _polled(call: _Call, mine: Set[int]) -> Polled:
    untold = len(mine & call.not_to_end)
    return Polled(len(mine) - untold, untold)
