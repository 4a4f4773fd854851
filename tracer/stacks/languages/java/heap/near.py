"""Upward from descriptors: the objects nearby that refer to them, dead ones included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np

from tracer.stacks.languages.java.heap.chain import Step
from tracer.stacks.languages.java.heap.content import FLAGS, Array, Content
from tracer.stacks.languages.java.heap.reach import Edges

_LEVELS, _MOST_OBJECTS, _MOST_PARENTS = 8, 2000, 8


def near(
    starts: Sequence[int], edges: Edges, content: Content, step: Callable[[Edges, int], Step]
) -> dict[int, list[Step]]:
    """Each object that was found, by address, with the steps from a descriptor up to it."""
    chains: dict[int, list[Step]] = {address: [] for address in starts}
    front = list(starts)
    for _ in range(_LEVELS):
        if not front or len(chains) > _MOST_OBJECTS:
            break
        sought = content.encoded(np.array(sorted(front), dtype=np.uint64))
        spots: Array = np.searchsorted(sought, edges.children)
        spots[spots == len(sought)] = 0
        parents: dict[int, int] = {}
        front = []
        for at in np.flatnonzero((sought[spots] == edges.children) & (edges.offsets & FLAGS == 0)).tolist():
            one = step(edges, at)
            parents[one.held] = parents.get(one.held, 0) + 1
            if one.holder not in chains and parents[one.held] <= _MOST_PARENTS:
                chains[one.holder] = [*chains[one.held], one]
                front.append(one.holder)
    return chains
