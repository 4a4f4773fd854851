"""Who is whose parent, also where one of the two has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, Optional

from tracer.model.connection import Relation

_GENERATIONS = 8
_INIT = 1

ParentOf = Callable[[int], Optional[int]]
"""The parent of a process by pid, None if it is not known."""


def relation(owner: int, holder: int, parent_of: ParentOf) -> Relation:
    """What ``holder`` is to ``owner``, who used a socket last: descriptors are inherited down the tree alone.

    PID 1 adopts orphans, so that it is an ancestor says nothing.
    """
    if owner == holder:
        return Relation.OWNER
    if holder in _ancestors(owner, parent_of):
        return Relation.PARENT
    return Relation.CHILD if owner in _ancestors(holder, parent_of) else Relation.OTHER


def _ancestors(pid: int, parent_of: ParentOf) -> Iterator[int]:
    for _ in range(_GENERATIONS):
        parent = parent_of(pid)
        if parent is None or parent <= _INIT:
            return
        yield parent
        pid = parent
