"""Whose accept queue a connection waits in: it has no descriptor yet, but its listener has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from tracer.errors import ClosetraceError
from tracer.host.descriptors import holders
from tracer.host.namespaces import Namespaces
from tracer.host.sockdiag import DiagSocket, listeners
from tracer.model.connection import Connection, Endpoint, Holder

_ANY = ("0.0.0.0", "::")


def listeners_of(waiting: Iterable[Connection], namespaces: Namespaces) -> dict[tuple[int, Endpoint], Holder]:
    """Who listens, by (netns, local endpoint of the waiting connection). Of several holders the first, by pid."""
    places = {(c.netns, c.local) for c in waiting}
    sockets = {place: found for place in places if (found := _listener(place, namespaces)) is not None}
    held = holders({one.inode for one in sockets.values()})
    return {place: min(held[one.inode], key=_order) for place, one in sockets.items() if one.inode in held}


def _order(holder: Holder) -> tuple[int, int]:
    return (holder.pid, holder.fd)


def _listener(place: tuple[int, Endpoint], namespaces: Namespaces) -> Optional[DiagSocket]:
    """The listener on that address, else the one on all addresses: the kernel's own preference."""
    netns, local = place
    try:
        found = [one for one in listeners(namespaces.path(netns)) if one.local.port == local.port]
    except ClosetraceError:
        return None
    exact = [one for one in found if one.local.address == local.address]
    return next(iter(exact or [one for one in found if one.local.address in _ANY]), None)
