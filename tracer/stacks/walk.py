"""The walk: from the registers of a black box to the last caller that the chain of unwinders can find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder

MAX_FRAMES = 1024
MOST_WITH_INLINED = MAX_FRAMES * 64
"""Frames of a stack, with those that a compiler inlined."""
_NOT_ABOVE = "the next frame is not above this one: the stack is damaged or was changed"


def walk(box: BlackBox, memory: Memory, chain: Sequence[Unwinder]) -> Stack:
    """Walk the stack of ``box``. In each step the first link of ``chain`` that handles the code finds the caller."""
    # The pc is after the syscall instruction. Like a return address, it may be the first byte of other code.
    registers = box.registers[: arch.REGISTER_COUNT]
    cursor = Cursor(tuple(None if n in box.unknown else value for n, value in enumerate(registers)), is_return=True)
    frames: list[Frame] = []
    for _ in range(MAX_FRAMES):
        try:
            step = _first(chain, cursor, memory)
        except MemoryUnreadable as reason:
            return Stack(tuple(frames), False, str(reason))
        if step is None:
            return Stack(tuple(frames), False, f"no unwinder knows the code at {cursor.pc:#x}")
        frames += _noted(step.frames, cursor.note)
        caller = step.caller
        if caller is None:
            return Stack(tuple(frames), step.complete, None if step.complete else step.stop)
        # Only a signal handler may run on another stack. In all other cases the caller lies higher on the stack.
        if caller.is_return and caller.sp <= cursor.sp:
            return Stack(tuple(frames), False, _NOT_ABOVE)
        cursor = caller
    return Stack(tuple(frames), False, f"more than {MAX_FRAMES} frames")


def _first(chain: Sequence[Unwinder], cursor: Cursor, memory: Memory) -> Optional[Step]:
    for link in chain:
        step = link.step(cursor, memory)
        if step is not None:
            return step
    return None


def _noted(frames: tuple[Frame, ...], note: Optional[str]) -> tuple[Frame, ...]:
    if note is None or not frames:
        return frames
    own = frames[-1].note
    return (*frames[:-1], replace(frames[-1], note=f"{note}; {own}" if own else note))
