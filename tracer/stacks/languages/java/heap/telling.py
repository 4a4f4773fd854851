"""Finds for each descriptor the nearest holder of which a rule knows something."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np

from tracer.model.holder import Use
from tracer.stacks.languages.java.heap.classes import Classes
from tracer.stacks.languages.java.heap.content import FLAGS, Array, Content
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.reach import Edges
from tracer.stacks.languages.java.heap.rules import RULES, Rule
from tracer.stacks.languages.java.heap.states import State

_MOST_LEVELS = 5000


class Telling:
    """``live`` are the references of all that is reachable, sorted by parent. ``targets`` are what to look for.

    ``says`` is whether an object, as stored, is one of which the rule knows something.
    """

    def __init__(
        self,
        content: Content,
        classes: Classes,
        names: FieldNames,
        live: Edges,
        targets: Array,
        says: Callable[[Rule, int], bool],
    ) -> None:
        self._live, self._says = live, says
        self._rules: dict[tuple[int, int], Rule] = {}
        starts = self._starts(content, classes, names)
        self._first = {int(live.children[at]): int(at) for at in reversed(starts)}
        self._steps: dict[int, int] = {}
        if starts:
            self._go(np.array(list(self._first), dtype=live.children.dtype), targets)

    def _starts(self, content: Content, classes: Classes, names: FieldNames) -> list[int]:
        """The places in ``live`` of references that a rule is about. Idle ones are first: what is idle may be held."""
        found: list[int] = []
        for rule in sorted(RULES, key=lambda rule: rule.use is not Use.IDLE):
            for klass in classes.with_super(rule.holder):
                index = content.index[klass.address]
                of_class = np.flatnonzero(self._live.indices == index)
                if rule.field != "*":
                    offset = names.offset(klass, rule.field)
                    of_class = of_class[self._live.offsets[of_class] & ~FLAGS == offset]
                    self._rules[index, offset] = rule
                else:
                    self._rules[index, -1] = rule
                found += self._telling(rule, of_class.tolist())
        return found

    def _telling(self, rule: Rule, places: list[int]) -> list[int]:
        """Those whose holder the rule knows something of, where it is a rule that may know nothing."""
        if rule.state is not State.ATTRIBUTE:
            return places
        return [at for at in places if self._says(rule, int(self._live.parents[at]))]

    def _go(self, front: Array, targets: Array) -> None:
        """Breadth first from all of them at once: each object is reached from the nearest."""
        live, seen = self._live, np.sort(front)
        left = set(targets.tolist()) - set(front.tolist())
        front = seen
        for _ in range(_MOST_LEVELS):
            if not len(front) or not left:
                return
            low = np.searchsorted(live.parents, front)
            count = np.searchsorted(live.parents, front, "right") - low
            places = np.repeat(low - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
            places = places[live.offsets[places] & FLAGS == 0]
            children, first = np.unique(live.children[places], return_index=True)
            spots: Array = np.searchsorted(seen, children)
            spots[spots == len(seen)] = 0
            fresh = seen[spots] != children
            front, places = children[fresh], places[first[fresh]]
            self._steps.update(zip(front.tolist(), places.tolist()))
            seen = np.sort(np.concatenate([seen, front]))
            left.difference_update(front.tolist())

    def path(self, target: int) -> Optional[tuple[list[int], Rule]]:
        """The places in ``live`` of the references from the target up to one that a rule is about, and the rule."""
        places: list[int] = []
        while target not in self._first:
            at = self._steps.get(target)
            if at is None:
                return None
            places.append(at)
            target = int(self._live.parents[at])
        at = self._first[target]
        places.append(at)
        index = int(self._live.indices[at])
        rule = self._rules.get((index, int(self._live.offsets[at]) & ~FLAGS)) or self._rules.get((index, -1))
        return (places, rule) if rule is not None else None
