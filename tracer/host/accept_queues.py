"""Finds the listening sockets of a connection that waits in an accept queue or was accepted from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from tracer.errors import ClosetraceError
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import DiagSocket, listeners
from tracer.model.connection import Endpoint, Holder

Place = tuple[int, Endpoint]
"""Network namespace and local endpoint of a connection."""
_ANY = ("0.0.0.0", "::")


def listening_at(places: Iterable[Place], namespaces: Namespaces) -> dict[Place, tuple[DiagSocket, ...]]:
    """The listening sockets on the address and port of each place: several with SO_REUSEPORT. Places without one now
    are left out.

    When a program connects, the kernel does not choose a port that is already bound. So a connection on the port of a
    listener was accepted there, unless the program has bound it to that port itself (SO_REUSEPORT).
    """
    wanted = set(places)
    found: dict[Place, tuple[DiagSocket, ...]] = {}
    for netns in {netns for netns, _ in wanted}:
        try:
            every = listeners(namespaces.path(netns))
        except ClosetraceError:
            continue
        here = Listeners(one for one in every if one.netns == netns)
        for place in wanted:
            there = here.at(place[1]) if place[0] == netns else ()
            if there:
                found[place] = there
    return found


class Listeners:
    """The listening sockets of one network namespace."""

    def __init__(self, several: Iterable[DiagSocket]) -> None:
        self._by_port: dict[int, list[DiagSocket]] = {}
        for one in several:
            self._by_port.setdefault(one.local.port, []).append(one)

    def at(self, local: Endpoint) -> tuple[DiagSocket, ...]:
        """Those of its port on its address, else those on all addresses: so the kernel prefers, too.

        A listener on all addresses of IPv4 comes before one of IPv6 (compute_score() in net/ipv4/inet_hashtables.c).
        """
        by_address: dict[str, list[DiagSocket]] = {}
        for one in self._by_port.get(local.port, ()):
            by_address.setdefault(one.local.address, []).append(one)
        addresses = (local.address, *(_ANY[1:] if ":" in local.address else _ANY))
        return next((tuple(by_address[address]) for address in addresses if address in by_address), ())


def queued(several: Sequence[DiagSocket]) -> tuple[DiagSocket, ...]:
    """Of the listeners of one port those in whose queues a connection can be that waits: those with a queue now.

    Which of them has a connection the kernel does not tell. If none has a queue, all of them: it has changed meanwhile.
    """
    return tuple(one for one in several if one.rx_queue) or tuple(several)


def first_holder(holders: Iterable[Holder]) -> Optional[Holder]:
    """The holder with the lowest pid; None if there is none."""
    ordered = sorted(holders, key=_order)
    return ordered[0] if ordered else None


def _order(holder: Holder) -> tuple[int, int]:
    return (holder.pid, holder.fd)
