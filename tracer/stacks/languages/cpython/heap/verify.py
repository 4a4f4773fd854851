"""Sees whether a chain is true: every fact it rests on is read twice, so that all were true together in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from tracer.model.holder import SocketAt
from tracer.stacks.languages.cpython.heap.live import Fact, Live
from tracer.stacks.languages.cpython.heap.numbers import Numbers
from tracer.stacks.languages.cpython.heap.roots import Anchor, Roots
from tracer.stacks.languages.cpython.heap.steps import Step, Steps
from tracer.stacks.languages.cpython.heap.types import Types


class Verifier:
    """Raises MemoryUnreadable and Nonsense."""

    def __init__(self, live: Live, types: Types, steps: Steps, roots: Roots, numbers: Numbers) -> None:
        self._live, self._types, self._steps, self._roots = live, types, steps, roots
        self._numbers = numbers

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
        if info is None or not info.has_number:
            return False
        facts = [*anchor.facts, *self._numbers.facts(socket, address, info)]
        for step in steps:
            facts += step.facts
        outermost = steps[-1].holder if steps else address
        if anchor.word != outermost:
            return False
        return self._all(facts) and self._is_at_work(anchor) and self._all(facts)

    def _all(self, facts: Iterable[Fact]) -> bool:
        pointer = self._live.reader.pointer
        return all(fact.least <= pointer(fact.address) & fact.mask <= fact.most for fact in dict.fromkeys(facts))

    def _is_at_work(self, anchor: Anchor) -> bool:
        """Its thread has to be there still, and a function's frame among those of its thread."""
        if not anchor.thread:
            return True
        at_work = not anchor.frame or anchor.frame in self._roots.frames_of(anchor.thread)
        return at_work and anchor.thread in self._roots.threads()
