"""Sees whether a chain is true: every fact it rests on is read twice, so that all were true together in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from tracer.model.holder import SocketAt
from tracer.stacks.languages.cpython.heap import layout as at
from tracer.stacks.languages.cpython.heap.live import Fact, Live
from tracer.stacks.languages.cpython.heap.roots import Anchor, Roots
from tracer.stacks.languages.cpython.heap.steps import Step, Steps, alive
from tracer.stacks.languages.cpython.heap.types import TypeInfo, Types

_INT = 0xFFFF_FFFF


class Verifier:
    """Raises MemoryUnreadable and Nonsense."""

    def __init__(self, live: Live, types: Types, steps: Steps, roots: Roots) -> None:
        self._live, self._types, self._steps, self._roots = live, types, steps, roots

    def steps(self, addresses: Sequence[int]) -> Optional[list[Step]]:
        """How each object refers to the one before; None if one does not (any more)."""
        found = []
        for held, holder in zip(addresses, addresses[1:]):
            step = self._steps.find(holder, held)
            if step is None:
                return None
            found.append(step)
        return found

    def holds(self, socket: SocketAt, address: int, steps: Sequence[Step], anchor: Anchor) -> bool:
        """Whether the object at ``address`` has this descriptor, and all is true from there to the root."""
        info = self._types.of(address)
        if info is None or not info.is_socket:
            return False
        facts = [*anchor.facts, *self.is_socket(socket, address, info)]
        for step in steps:
            facts += step.facts
        outermost = steps[-1].holder if steps else address
        if anchor.word != outermost:
            return False
        return self._all(facts) and self._is_at_work(anchor) and self._all(facts)

    def is_socket(self, socket: SocketAt, address: int, info: TypeInfo) -> list[Fact]:
        """What is true of the socket's object, beside that it lives."""
        number = Fact(address + at.SOCKET_FD, socket.fd, socket.fd, _INT)
        return [*alive(address, info), number]

    def _all(self, facts: Iterable[Fact]) -> bool:
        pointer = self._live.reader.pointer
        return all(fact.least <= pointer(fact.address) & fact.mask <= fact.most for fact in dict.fromkeys(facts))

    def _is_at_work(self, anchor: Anchor) -> bool:
        """Its thread has to be there still, and a function's frame among those of its thread."""
        if not anchor.thread:
            return True
        at_work = not anchor.frame or anchor.frame in self._roots.frames_of(anchor.thread)
        return at_work and anchor.thread in self._roots.threads()
