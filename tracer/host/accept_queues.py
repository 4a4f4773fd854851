"""Finds the listening socket of a connection that waits in its accept queue or was accepted from it."""

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


def listening_at(places: Iterable[Place], namespaces: Namespaces) -> dict[Place, DiagSocket]:
    """The listening socket on the address and port of each place. Places without one now are left out.

    When a program connects, the kernel does not choose a port that is already bound. So a connection on the port of a
    listener was accepted there, unless the program has bound it to that port itself (SO_REUSEPORT).
    """
    wanted = set(places)
    found: dict[Place, DiagSocket] = {}
    for netns in {netns for netns, _ in wanted}:
        try:
            every = listeners(namespaces.path(netns))
        except ClosetraceError:
            continue
        by_port: dict[int, list[DiagSocket]] = {}
        for one in every:
            if one.netns == netns:
                by_port.setdefault(one.local.port, []).append(one)
        for place in wanted:
            there = _listener(place[1], by_port.get(place[1].port, ())) if place[0] == netns else None
            if there is not None:
                found[place] = there
    return found


def first_holder(holders: Iterable[Holder]) -> Optional[Holder]:
    """The holder with the lowest pid; None if there is none."""
    ordered = sorted(holders, key=_order)
    return ordered[0] if ordered else None


def _order(holder: Holder) -> tuple[int, int]:
    return (holder.pid, holder.fd)


def _listener(local: Endpoint, found: Sequence[DiagSocket]) -> Optional[DiagSocket]:
    """Of those on its port the listener on its address, else the one on all addresses: so the kernel prefers, too.

    Of several (SO_REUSEPORT) one in whose queue connections wait, as the others accept what comes.
    """
    exact = [one for one in found if one.local.address == local.address]
    there = exact or [one for one in found if one.local.address in _ANY]
    return next((one for one in there if one.rx_queue), there[0]) if there else None
