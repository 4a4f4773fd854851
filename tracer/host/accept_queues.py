"""Finds the listening socket of a connection that waits in its accept queue or was accepted from it."""

from __future__ import annotations

from collections.abc import Iterable
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
    listener was accepted there.
    """
    wanted = set(places)
    found: dict[Place, DiagSocket] = {}
    for netns in {netns for netns, _ in wanted}:
        try:
            every = [one for one in listeners(namespaces.path(netns)) if one.netns == netns]
        except ClosetraceError:
            continue
        for place in wanted:
            one = _listener(place[1], every) if place[0] == netns else None
            if one is not None:
                found[place] = one
    return found


def first_holder(holders: Iterable[Holder]) -> Optional[Holder]:
    """The holder with the lowest pid; None if there is none."""
    ordered = sorted(holders, key=_order)
    return ordered[0] if ordered else None


def _order(holder: Holder) -> tuple[int, int]:
    return (holder.pid, holder.fd)


def _listener(local: Endpoint, every: Iterable[DiagSocket]) -> Optional[DiagSocket]:
    """The listener on that address, else the one on all addresses. The kernel has the same preference."""
    found = [one for one in every if one.local.port == local.port]
    exact = [one for one in found if one.local.address == local.address]
    return next(iter(exact or [one for one in found if one.local.address in _ANY]), None)
