"""The link for compiled code with call frame information (CFI), in the file or in its separate debug file."""

from __future__ import annotations

from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import Frame
from tracer.stacks.chain import FIRST_FRAME, CopyEnds, Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.elf import cfi
from tracer.stacks.elf.expression import ExpressionError
from tracer.stacks.elf.image import Image
from tracer.stacks.naming import Naming
from tracer.stacks.parsing import Part, parsing
from tracer.stacks.target.modules import Modules

_MAX_FRAMES_KEPT = 20_000


def _applied(image: Image, rule: cfi.Rule, cursor: Cursor, memory: Memory) -> list[Optional[int]]:
    """The caller's registers. Expressions are programs of the file's author: they may run for long."""
    if not rule.expressions and isinstance(rule.cfa, cfi.RegisterPlus):
        return cfi.apply(rule, cursor.registers, memory.stack_word)[1]
    with parsing(image.number, Part.UNWIND):
        return cfi.apply(rule, cursor.registers, memory.stack_word)[1]


class NativeUnwinder:
    """Unwinds with CFI. For code without CFI step() gives None."""

    def __init__(self, modules: Modules, naming: Naming) -> None:
        self._modules = modules
        self._naming = naming
        self._frames: dict[tuple[int, bool], tuple[Frame, ...]] = {}

    def forget(self) -> None:
        """Drop everything that was computed from older maps."""
        self._frames.clear()

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step from ``cursor`` to its caller with the CFI row of its code."""
        code = self._modules.at(cursor.lookup)
        if code is None or code.image is None:
            return None
        rule = code.image.rule(cursor.lookup + code.delta)
        if rule is None:
            return None
        key = (cursor.pc, cursor.is_return)
        frames = self._frames.get(key)
        if frames is None:
            if len(self._frames) > _MAX_FRAMES_KEPT:
                self._frames.clear()
            frames = self._frames[key] = self._naming.frames(code, cursor)
        if rule.outermost or self._naming.starts_coroutine(frames[-1]):
            return Step(frames, None, complete=True, row=FIRST_FRAME)
        try:
            registers = _applied(code.image, rule, cursor, memory)
        except MemoryUnreadable as reason:
            return Step(frames, None, stop=str(reason), copy_ends=isinstance(reason, CopyEnds), row=rule.row)
        except ExpressionError as reason:
            return Step(frames, None, stop=f"the unwind data of {code.module} cannot be applied: {reason}")
        if not registers[arch.RETURN_ADDRESS]:
            return self._without_return(frames, registers)
        return Step(frames, Cursor(tuple(registers), is_return=not rule.signal), row=rule.row)

    def _without_return(self, frames: tuple[Frame, ...], registers: list[Optional[int]]) -> Step:
        # psABI 3.4.1: the code that starts a stack sets the frame pointer to zero.
        is_marked = not registers[arch.RBP] or self._naming.starts_stack(frames[-1].function)
        if registers[arch.RETURN_ADDRESS] == 0 and is_marked:
            return Step(frames, None, complete=True)
        return Step(frames, None, stop="the return address is not known")
