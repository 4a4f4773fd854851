"""What the words of a black box say of Python's frames: functions, and where one eval loop ends and the next begins.

The kernel side copies two words for each frame, innermost first (bpf/languages/cpython.bpf.c). Those of a function's
frame: the code object, and the instruction with the frame's owner in its top byte. Those of an eval loop that C code
called: the address of something that it has on the C stack (since 3.12 its entry frame, in 3.11 its cframe), and 0xff
in the top byte. Before 3.11 each function has an eval loop of its own. Since 3.15 the last one is of no function, and
not on the C stack: it is the thread's base frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

OWNER = 56
"""The lowest bit of the owner in a word."""
_INSTRUCTION = (1 << OWNER) - 1
ENTRY = 0xFF
OF_GENERATOR = 1
"""The owner of a generator's or coroutine's frame (enum _frameowner in pycore_frame.h)."""


@dataclass(frozen=True)
class Call:
    """A function at work: its code object's address, the word that tells the instruction, and who owns the frame."""

    code: int
    instruction: int
    owner: int = 0


@dataclass(frozen=True)
class Loop:
    """What one eval loop runs, innermost first. ``place`` is an address in its C frame, None if that is not known."""

    calls: tuple[Call, ...]
    place: Optional[int] = None


def loops(words: Sequence[tuple[int, int]], minor: int) -> tuple[Loop, ...]:
    """The eval loops of a thread in CPython 3.``minor``, innermost first. If words end early, the last is cut."""
    if minor < 11:
        return tuple(Loop((Call(code, instruction),)) for code, instruction in words)
    found: list[Loop] = []
    calls: list[Call] = []
    for first, second in words:
        if second >> OWNER == ENTRY:
            found.append(Loop(tuple(calls), first))
            calls = []
        else:
            calls.append(Call(first, second & _INSTRUCTION, second >> OWNER))
    if found and not calls and not found[-1].calls:
        found.pop()
    return (*found, Loop(tuple(calls))) if calls else tuple(found)
