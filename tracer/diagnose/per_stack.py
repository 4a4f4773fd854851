"""Remembers what was found out about a stack: thousands of sockets share a few of them."""

from __future__ import annotations

from functools import wraps
from typing import Callable, TypeVar

from tracer.model.frame import Stack

T = TypeVar("T")
_MOST = 1024
"""So many stacks are remembered."""


def per_stack(look: Callable[[Stack], T]) -> Callable[[Stack], T]:
    """Make a function of one stack look at each stack object once.

    Stacks are told apart by identity, because to hash one takes about as long as to look through it. Equal stacks are
    one object in a run (stacks/table.py).
    """
    known: dict[int, tuple[Stack, T]] = {}

    @wraps(look)
    def remembered(stack: Stack) -> T:
        found = known.get(id(stack))
        if found is None:
            if len(known) >= _MOST:
                known.clear()
            # The stack is kept, too: its id may not become that of another one.
            found = known[id(stack)] = (stack, look(stack))
        return found[1]

    return remembered
