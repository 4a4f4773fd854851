"""Connections that wait in an accept queue of another process, which shares the port of one in scope (SO_REUSEPORT).

The kernel side takes all that come in on a port of a process in scope: it does not see whose queue they join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Protocol

from tracer.host.accept_queues import Place, listening_at, queued
from tracer.host.descriptors import read_descriptors
from tracer.host.namespaces import Namespaces
from tracer.model.connection import Connection
from tracer.session.join import Diagnosed


class InScope(Protocol):
    """Who is in scope."""

    def now(self) -> Optional[frozenset[int]]:
        """The processes in scope that live; None if everybody is."""


class Strangers:
    """Knows which connections wait for nobody in scope."""

    def __init__(self, members: InScope, namespaces: Namespaces) -> None:
        self._members, self._namespaces = members, namespaces
        self.known: dict[tuple[int, int], None] = {}
        """Connections (``Connection.key``) that were found to be such, the latest last."""

    def without(self, connections: Sequence[Connection]) -> list[Connection]:
        """The others. Most have been accepted: then nothing is looked at."""
        members = self._members.now()
        waiting = [c for c in connections if c.accepted is False] if members is not None else []
        if not waiting or members is None:
            return list(connections)
        places = self._strange({(c.netns, c.local) for c in waiting}, members)
        if not places:
            return list(connections)
        listing = Diagnosed({netns for netns, _ in places}, self._namespaces)
        found = {c.key for c in waiting if (c.netns, c.local) in places and _waits(listing, c)}
        self.known.update(dict.fromkeys(found))
        return [c for c in connections if c.key not in found]

    def _strange(self, places: set[Place], members: frozenset[int]) -> frozenset[Place]:
        """The places at which only other processes have a queue that is not empty."""
        listening = {place: queued(several) for place, several in listening_at(places, self._namespaces).items()}
        inodes = {one.inode for several in listening.values() for one in several}
        mine = read_descriptors(inodes, members)
        if mine.unreadable:
            return frozenset()
        return frozenset(
            place
            for place, several in listening.items()
            if mine.holders.keys().isdisjoint(one.inode for one in several)
        )


def _waits(listing: Diagnosed, c: Connection) -> bool:
    one = listing.find(c)
    return one is not None and not one.inode
