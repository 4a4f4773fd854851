"""One pass over the heap: notes the objects of classes that have few, with their references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracer.stacks.languages.java.heap.content import Array, Content
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.spaces import Space

MANY = 20_000
"""A class with more objects than this is left out: strings, nodes of collections. They are read when held by others."""
_MOST_EDGES = 2_000_000

_Objects = list[tuple[Array, Array]]
_Edges = list[tuple[Array, Array, Array, Array]]


@dataclass(frozen=True)
class Noted:
    """References from ``parents`` (sorted) at ``offsets`` to ``children``, all as stored; ``indices`` are of the
    parents' classes. ``known`` are all objects that were noted, sorted. ``descriptors`` are addresses.
    """

    parents: Array
    offsets: Array
    children: Array
    indices: Array
    known: Array
    descriptors: Array


def scan(memory: Memory, content: Content, spaces: Sequence[Space], always: int) -> Noted:
    """Read all ``spaces``. Objects of the class with index ``always`` are never too many. Raises OutOfTime."""
    wanted = content.wanted.copy()
    wanted[always] = True
    counts = np.zeros(len(content.classes), dtype=np.int64)
    objects: _Objects = []
    edges: _Edges = []
    found, total = [], 0
    for start, buffer, positions in memory.chunks(spaces):
        places, indices = content.at_all_positions(buffer, positions)
        keep = wanted[indices]
        places, indices = places[keep], indices[keep]
        addresses = places.astype(np.uint64) * np.uint64(8) + np.uint64(start)
        found.append(addresses[indices == always])
        counts += np.bincount(indices, minlength=len(counts))
        parents = content.encoded(addresses)
        owners, offsets, children = content.references(buffer, places, indices)
        objects.append((parents, indices))
        edges.append((parents[owners], offsets, children, indices[owners]))
        total += len(owners)
        many = counts > MANY
        many[always] = False
        wanted &= ~many
        if total > _MOST_EDGES:
            edges, objects = _without_many(edges, objects, wanted)
            total = sum(len(one[0]) for one in edges)
            if total > _MOST_EDGES // 2:  # so many classes: leave out those with most objects
                wanted &= counts <= max(int(np.percentile(counts[wanted & (counts > 0)], 90)), 100)
                wanted[always] = True
                edges, objects = _without_many(edges, objects, wanted)
                total = sum(len(one[0]) for one in edges)
    edges, objects = _without_many(edges, objects, wanted)
    kind = content.reference_type
    return Noted(
        parents=_all([one[0] for one in edges], kind),
        offsets=_all([one[1] for one in edges], np.int32),
        children=_all([one[2] for one in edges], kind),
        indices=_all([one[3] for one in edges], np.int32),
        known=_all([one[0] for one in objects], kind),
        descriptors=_all(found, np.uint64),
    )


def _without_many(edges: _Edges, objects: _Objects, wanted: Array) -> tuple[_Edges, _Objects]:
    """Without the classes that turned out to have many objects, which are then noted by none of them."""
    kept_edges = []
    for parents, offsets, children, indices in edges:
        keep = wanted[indices]
        kept_edges.append((parents[keep], offsets[keep], children[keep], indices[keep]))
    kept_objects = []
    for addresses, indices in objects:
        keep = wanted[indices]
        kept_objects.append((addresses[keep], indices[keep]))
    return kept_edges, kept_objects


def _all(parts: list[Array], kind: object) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
