"""Sockets that had lingered and then left, in bounded memory: the latest as they were, all of them counted by kind."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from tracer.diagnose.ending import ender, outcome
from tracer.diagnose.paths import stack_key
from tracer.model.connection import Actor
from tracer.model.finding import Ended, EndedKind

KEPT = 1000
"""So many sockets are kept whole."""
_KINDS = 1000
_CLOSERS = 8


class Endings:
    """What a run keeps of sockets that left. A kind has one verdict, one way to end and one closing stack."""

    def __init__(self) -> None:
        self.latest: deque[Ended] = deque(maxlen=KEPT)
        self._kinds: dict[object, EndedKind] = {}
        self.forgotten = 0
        """Sockets that are only counted."""

    def add(self, gone: Ended) -> None:
        """Keep it, in place of the oldest if there are too many."""
        self.forgotten += len(self.latest) == KEPT
        self.latest.append(gone)
        kind = self._kind(gone)
        key = self._key(kind)
        known = self._kinds.get(key)
        if known is None and len(self._kinds) >= _KINDS:
            kind = replace(kind, closed=None)
            key = self._key(kind)
            known = self._kinds.get(key)
        self._kinds[key] = kind if known is None else _added(known, kind)

    @staticmethod
    def _kind(gone: Ended) -> EndedKind:
        c = gone.connection
        closers = (c.closed.actor,) if c.closed is not None else ()
        lingered = gone.lingered_ns
        return EndedKind(gone.verdict, ender(c), outcome(c), c.closed, closers, 1, lingered, lingered)

    @staticmethod
    def _key(kind: EndedKind) -> object:
        stack = kind.closed.stack if kind.closed is not None else None
        return (kind.verdict, kind.ender, kind.outcome, stack_key(stack))

    def kinds(self) -> tuple[EndedKind, ...]:
        """All kinds, in the order in which they appeared."""
        return tuple(self._kinds.values())


def _added(known: EndedKind, one: EndedKind) -> EndedKind:
    closers: tuple[Actor, ...] = tuple(dict.fromkeys((*known.closers, *one.closers)))[:_CLOSERS]
    return replace(
        known,
        closers=closers,
        count=known.count + 1,
        shortest_ns=min(known.shortest_ns, one.shortest_ns),
        longest_ns=max(known.longest_ns, one.longest_ns),
    )
