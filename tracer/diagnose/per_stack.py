"""Remembers what was found out about a stack or a frame: thousands of sockets share a few of them."""

from __future__ import annotations

from functools import wraps
from typing import Callable, Optional, TypeVar

from tracer.model.frame import Frame, Stack

T = TypeVar("T")
_MOST = 2048
"""So many stacks are remembered: of a thousand sites the opener's and the last call's. If there are more, all are
forgotten and looked at again.
"""
_MOST_FRAMES = 16_384
"""So many frames, by their names. One takes 0.3 to 0.6 KB."""


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


def per_frame(look: Callable[[Frame], T]) -> Callable[[Frame], T]:
    """Make a function of one frame look once at all frames with the same names.

    It sees function, module, file, language and ``internal`` alone. Addresses are others each time that a program
    starts: in a run of months all that were ever met would be remembered.
    """
    known: dict[tuple[Optional[str], Optional[str], Optional[str], str, bool], T] = {}

    @wraps(look)
    def remembered(frame: Frame) -> T:
        key = (frame.function, frame.module, frame.file, frame.language, frame.internal)
        try:
            return known[key]
        except KeyError:
            if len(known) >= _MOST_FRAMES:
                known.clear()
            function, module, file, language, internal = key
            plain = Frame(function, module, file=file, language=language, internal=internal)
            return known.setdefault(key, look(plain))

    return remembered
