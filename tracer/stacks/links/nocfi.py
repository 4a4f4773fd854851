"""The last link of the chain: code without call frame information (generated code, hand-written assembly).

It tries three ways, the most reliable first: the known starts of a stack; the instructions up to the function's return
(see wayout); the frame pointer. What the frame pointer gives is checked, and the frame found by it gets a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from tracer.machine import decoder
from tracer.machine import registers as arch
from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.elf import cfi
from tracer.stacks.elf.expression import ExpressionError
from tracer.stacks.language import Runtime
from tracer.stacks.links import wayout
from tracer.stacks.naming import Naming
from tracer.stacks.target.modules import Code, Modules
from tracer.stacks.target.process import Process

BY_FRAME_POINTER = "found by frame pointer, callers may be missing"

BY_WAY_OUT = "found by reading the callee's code up to its return"

_MAX_WAYS_OUT = 10_000
_MAX_NAMED = 20_000
_ENTRY_BYTES = 64
_STACK_STARTS = frozenset({"_start", "__clone", "clone"})
_MEMORY_FILE = "/memfd:"
"""How the kernel shows a file of memfd_create(2): runtimes keep generated code in such files, too."""
_EXITS = frozenset({"exit", "pthread_exit", "__pthread_exit"})


class NoCfiUnwinder:
    """Gives a step for every address. If it finds no caller, the stack ends with the reason."""

    def __init__(self, process: Process, modules: Modules, naming: Naming, runtimes: Sequence[Runtime] = ()) -> None:
        """``runtimes`` are those of the process. They name code that no file backs. The list may grow."""
        self._process = process
        self._modules = modules
        self._naming = naming
        self._runtimes = runtimes
        self._is_unnamed_told = False
        self._named: dict[tuple[int, bool], tuple[Frame, ...]] = {}
        self._ways_out: dict[int, Optional[wayout.WayOut]] = {}

    def begin(self) -> None:
        """Start another stack. Code without a name is explained once in each stack."""
        self._is_unnamed_told = False

    def forget(self) -> None:
        """Drop everything that was computed from older maps."""
        self._named.clear()
        self._ways_out.clear()

    def step(self, cursor: Cursor, memory: Memory) -> Step:
        """Step from ``cursor`` to its caller, or say why that is not possible."""
        code = self._modules.at(cursor.lookup)
        if code is None:
            return Step((), None, stop=f"{cursor.pc:#x}, where the next frame should be, is not code")
        frames = self._frames(code, cursor)
        if self._is_stack_start(code, cursor, frames[-1]):
            return Step(frames, None, complete=True)
        caller = self._by_way_out(code, cursor, memory) or self._by_frame_pointer(cursor, memory)
        if caller is None:
            frame = frames[-1]
            place = frame.function or f"{code.module}+{cursor.pc + code.delta:#x}"
            where = f"{frame.function} in {code.module}" if frame.function else place
            return Step(frames, None, stop=f"no unwind data for {where}")
        return Step(frames, caller)

    def names(self, cursor: Cursor) -> tuple[Frame, ...]:
        """Name the code at ``cursor``, whoever unwinds it. Empty if there is none. Raises MemoryUnreadable."""
        code = self._modules.at(cursor.lookup)
        return self._frames(code, cursor) if code is not None else ()

    def _frames(self, code: Code, cursor: Cursor) -> tuple[Frame, ...]:
        if code.image is None:
            return self._generated(code, cursor)
        key = (cursor.pc, cursor.is_return)
        frames = self._named.get(key)
        if frames is None:
            if len(self._named) > _MAX_NAMED:
                self._named.clear()
            frames = self._named[key] = self._naming.frames(code, cursor)
        return frames

    def _generated(self, code: Code, cursor: Cursor) -> tuple[Frame, ...]:
        """Name code that no file backs, or say how to get its name."""
        for runtime in self._runtimes:
            frames = runtime.name(cursor, code.module) if runtime.name is not None else None
            if frames:
                return frames
        frames = self._naming.frames(code, cursor)
        if self._is_unnamed_told or (code.mapping.is_file and not code.mapping.path.startswith(_MEMORY_FILE)):
            return frames
        self._is_unnamed_told = True
        note = next((runtime.unnamed for runtime in self._runtimes if runtime.unnamed), None)
        return (replace(frames[0], note=note), *frames[1:])

    def _is_stack_start(self, code: Code, cursor: Cursor, frame: Frame) -> bool:
        """Tell whether this is the first code of a process or thread. Some C libraries (musl) have no CFI for it."""
        if code.image is None:
            return False
        entry = code.image.facts.entry
        if entry and entry < cursor.pc + code.delta <= entry + _ENTRY_BYTES:
            return True
        if frame.function in _STACK_STARTS and not cursor.bp:
            return True
        if self._naming.starts_stack(frame.function):
            return True
        is_runtime = self._naming.is_runtime_module(code.module) or code.image.facts.is_static
        return is_runtime and self._exits_with_result(code, cursor)

    def _exits_with_result(self, code: Code, cursor: Cursor) -> bool:
        """Tell whether the call is in ``exit(main(...))`` or ``pthread_exit(start(...))``: the starts of musl."""
        target = wayout.call_ahead(cursor.pc, self._process.read)
        if target is None or code.image is None or self._modules.at(target) is not code:
            return False
        name = code.image.names(target + code.delta)[-1]
        return name.offset == 0 and name.function in _EXITS

    def _by_way_out(self, code: Code, cursor: Cursor, memory: Memory) -> Optional[Cursor]:
        way_out = self._way_out(code, cursor.pc)
        if way_out is None:
            return None
        try:
            _, registers = cfi.apply(way_out.rule, cursor.registers, memory.stack_word)
        except (MemoryUnreadable, ExpressionError):
            return None
        return self._checked(registers, BY_WAY_OUT if way_out.calls else None)

    def _way_out(self, code: Code, pc: int) -> Optional[wayout.WayOut]:
        """Find the way out of the function at ``pc``.

        Generated code keeps frame pointers, so there a way out counts only if it has no calls. Generated code changes,
        so only the results for code of files are kept.
        """
        if code.image is None:
            found = wayout.find(pc, self._process.read)
            return found if found is not None and not found.calls else None
        if pc not in self._ways_out:
            if len(self._ways_out) > _MAX_WAYS_OUT:
                self._ways_out.clear()
            self._ways_out[pc] = wayout.find(pc, self._process.read)
        return self._ways_out[pc]

    def _by_frame_pointer(self, cursor: Cursor, memory: Memory) -> Optional[Cursor]:
        bp = cursor.bp
        if bp is None or bp % 8 or bp < cursor.sp:
            return None
        registers: list[Optional[int]] = [None] * arch.REGISTER_COUNT
        try:
            registers[arch.RBP] = memory.stack_word(bp, 8)
            registers[arch.RETURN_ADDRESS] = memory.stack_word(bp + 8, 8)
        except MemoryUnreadable:
            return None
        registers[arch.RSP] = bp + 16
        return self._checked(registers, BY_FRAME_POINTER)

    def _checked(self, registers: list[Optional[int]], note: Optional[str]) -> Optional[Cursor]:
        """Accept a return address only if it is in code, after a call instruction (if the code can be read)."""
        pc = registers[arch.RETURN_ADDRESS] or 0
        if self._modules.at(pc - 1) is None:
            return None
        try:
            text = self._process.read(pc - decoder.LONGEST_CALL, decoder.LONGEST_CALL)
        except MemoryUnreadable:
            text = b""
        if text and not decoder.follows_call(text):
            return None
        return Cursor(tuple(registers), is_return=True, note=note)
