"""The walk: from a black box's registers through the chain of unwinders to the last caller that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder

MAX_FRAMES = 1024


def walk(box: BlackBox, memory: Memory, chain: Sequence[Unwinder]) -> Stack:
    """Walk the stack of ``box``; the first link of ``chain`` that knows the code under the cursor takes each step."""
    # The pc follows the syscall instruction: like a return address it may be the first byte of other code.
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
        # Only a signal handler may run on another stack; else callers lie higher up, or the stack is damaged.
        if caller.is_return and caller.sp <= cursor.sp:
            return Stack(tuple(frames), False, "the stack does not go on upwards: it is damaged or was changed")
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
