"""The chain's last link: code without call frame information (generated code, hand-written assembly).

Three ways, the sure ones first: known starts of a stack; an epilogue right at the return address, which the CPU is
going to execute as it stands; the frame pointer, checked as far as can be and marked on the frame that it led to.
"""

from __future__ import annotations

from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks import arch_x86_64 as arch
from tracer.stacks import perfmap
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.frames import elf_frames
from tracer.stacks.modules import Code, Modules
from tracer.stacks.process import Process

BY_FRAME_POINTER = "found by frame pointer, callers may be missing"

_ENTRY_BYTES = 64
_STACK_STARTS = frozenset({"_start", "__clone", "clone", "__unmapself"})


class NoCfiUnwinder:
    """Answers for every address: what it cannot step out of ends the stack, with the reason."""

    def __init__(self, process: Process, modules: Modules) -> None:
        self._process = process
        self._modules = modules
        self._perf_map = perfmap.PerfMap(process)
        self._perf_map_checked = False

    def begin(self) -> None:
        """Start another stack: the perf map may have grown."""
        self._perf_map_checked = False

    def step(self, cursor: Cursor, memory: Memory) -> Step:
        """Step out of ``cursor``, or tell why that is not possible."""
        code = self._modules.at(cursor.lookup)
        if code is None:
            return Step((), None, stop=f"{cursor.pc:#x}, where the next frame should be, is not code")
        frames = self._frames(code, cursor)
        if self._is_stack_start(code, cursor, frames[-1]):
            return Step(frames, None, complete=True)
        caller = self._by_epilogue(cursor, memory) or self._by_frame_pointer(cursor, memory)
        if caller is None:
            frame = frames[-1]
            place = frame.function or f"{code.module}+{cursor.pc + code.delta:#x}"
            where = f"{frame.function} in {code.module}" if frame.function else place
            return Step(frames, None, stop=f"no unwind data for {where}")
        return Step(frames, caller)

    def _frames(self, code: Code, cursor: Cursor) -> tuple[Frame, ...]:
        if code.image is None:
            symbol = self._perf_map.find(cursor.lookup)
            if not self._perf_map_checked:
                self._perf_map_checked = True
                if self._perf_map.refresh():
                    symbol = self._perf_map.find(cursor.lookup)
            if symbol is not None:
                return (perfmap.frame(symbol, cursor.pc, code.module),)
        return elf_frames(code, cursor)

    def _is_stack_start(self, code: Code, cursor: Cursor, frame: Frame) -> bool:
        """Tell the first code of a process or thread, which some C libraries (musl) give no CFI."""
        if code.image is None:
            return False
        entry = code.image.facts.entry
        if frame.function is None:
            return entry != 0 and entry < cursor.pc + code.delta <= entry + _ENTRY_BYTES
        return frame.function in _STACK_STARTS and not cursor.bp

    def _by_epilogue(self, cursor: Cursor, memory: Memory) -> Optional[Cursor]:
        try:
            text = self._process.read(cursor.pc, arch.LONGEST_EPILOGUE)
        except MemoryUnreadable:
            return None
        pops = arch.epilogue(text)
        if pops is None:
            return None
        skip, popped = pops
        registers = list(cursor.registers)
        sp = cursor.sp + skip
        try:
            for number in popped:
                registers[number] = memory.stack_word(sp, 8)
                sp += 8
            registers[arch.RETURN_ADDRESS] = memory.stack_word(sp, 8)
        except MemoryUnreadable:
            return None
        registers[arch.RSP] = sp + 8
        return self._checked(registers, None)

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
        """Accept a return address only in code and, where the text can be read, after a call instruction."""
        pc = registers[arch.RETURN_ADDRESS] or 0
        if self._modules.at(pc - 1) is None:
            return None
        try:
            text = self._process.read(pc - arch.LONGEST_CALL, arch.LONGEST_CALL)
        except MemoryUnreadable:
            text = b""
        if text and not arch.follows_call(text):
            return None
        return Cursor(tuple(registers), is_return=True, note=note)
