"""The HotSpot link of the unwinding chain: Java frames of the interpreter, C1 and C2, native wrappers and stubs.

The rules of the frames (x86-64; src/hotspot/cpu/x86/frame_x86.hpp): an interpreted frame hangs on rbp; a compiled one
has the fixed size that its CodeBlob states, with the caller's rbp just below the return address. Stacks are taken
inside system calls, so no Java frame is ever the innermost one, and prologues and epilogues need not be known.
"""

from __future__ import annotations

from typing import Callable, Optional

from tracer.machine import registers as arch
from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.languages.java.codecache import CodeBlob
from tracer.stacks.languages.java.jvm import Jvm
from tracer.stacks.languages.java.methods import JavaMethod
from tracer.stacks.languages.java.nmethod import ScopeDesc
from tracer.stacks.languages.java.reader import Nonsense

_WORD = 8
_SENDER_SP_SLOT, _METHOD_SLOT = 1, 3  # words below rbp (frame_x86.hpp)
_ENTER_SPECIAL = "jdk.internal.vm.Continuation.enterSpecial"
_PARKED = "virtual thread: callers parked in the Java heap are not available"
_FIRST = "first frame of the virtual thread"
_CHANGED = "compiled code changed since the touch"
_FRAMELESS = ("vtable", "itable", "I2C", "MethodHandles")


class HotSpotUnwinder:
    """Steps out of code in the code cache of one JVM.

    ``is_generated`` tells an address in code that no file backs; it is asked while the code heaps cannot be read.
    """

    def __init__(self, jvm: Jvm, is_generated: Callable[[int], bool]) -> None:
        self._jvm = jvm
        self._is_generated = is_generated

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """The step out of generated code, None if the pc lies elsewhere. Never raises: trouble ends the stack."""
        try:
            heap = self._jvm.code.heap(cursor.lookup)
        except (Nonsense, MemoryUnreadable) as error:
            return _stop(f"the JVM could not be read: {error}") if self._is_generated(cursor.lookup) else None
        if heap is None:
            return None
        try:
            return self._generated(self._jvm.code.blob(heap, cursor.lookup), cursor, memory)
        except Nonsense as nonsense:
            return _stop(f"{_CHANGED} ({nonsense})")
        except MemoryUnreadable as unreadable:
            return _stop(f"the JVM could not be read: {unreadable}")

    def _generated(self, blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
        if blob.is_continuation:
            return _stop(_PARKED)
        if not cursor.is_return:
            return _stop("stopped inside Java code, not at a call")
        if blob.is_interpreter:
            return self._checked(self._interpreted(cursor, memory))
        if blob.is_nmethod:
            return self._checked(self._compiled(blob, cursor, memory))
        return self._stub(blob, cursor, memory)

    def _checked(self, step: Step) -> Step:
        """A Java method is called by generated code only, if but by a stub: else this was not its frame."""
        if step.caller is not None and self._jvm.code.heap(step.caller.lookup) is None:
            return _stop(_CHANGED)
        return step

    def _interpreted(self, cursor: Cursor, memory: Memory) -> Step:
        bcp_slot = self._jvm.layout.bcp_slot
        if cursor.bp is None:
            return _stop("the frame pointer of an interpreted frame was not preserved")
        if cursor.bp % _WORD or cursor.bp - bcp_slot * _WORD < cursor.sp:
            return _stop("the interpreted frame is not intact")
        try:
            address = memory.u64(cursor.bp - _METHOD_SLOT * _WORD)
            bcp = memory.u64(cursor.bp - bcp_slot * _WORD)
        except MemoryUnreadable as unreadable:
            return _stop(str(unreadable))
        method = self._jvm.methods.at(address)
        bci = None if method.code_size == 0 else bcp - method.code
        if bci is not None and not 0 <= bci < method.code_size:
            return _stop("the interpreted frame is not intact")
        return _by_frame_pointer((_frame(method, bci, cursor.pc),), cursor, memory, sp_slot=_SENDER_SP_SLOT)

    def _compiled(self, blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
        if blob.is_native_wrapper:
            return self._native_wrapper(blob, cursor, memory)
        pc = cursor.pc
        saved = self._jvm.nmethods.original_pc_slot(blob, pc)
        if saved is not None:
            try:
                pc = memory.u64(cursor.sp + saved)
            except MemoryUnreadable as unreadable:
                return _stop(str(unreadable))
        scopes = self._jvm.nmethods.scopes(blob, pc)
        if scopes is None:
            return _stop(_CHANGED)
        return _by_size(self._inlined(scopes, pc), blob, cursor, memory)

    def _native_wrapper(self, blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
        method = self._jvm.methods.at(self._jvm.nmethods.method(blob))
        if method.qualified == _ENTER_SPECIAL:
            # What called it is the carrier thread, which runs one virtual thread after another.
            return Step((_frame(method, None, cursor.pc, note=_FIRST),), None, complete=True)
        return _by_size((_frame(method, None, cursor.pc),), blob, cursor, memory)

    def _inlined(self, scopes: tuple[ScopeDesc, ...], pc: int) -> tuple[Frame, ...]:
        last = len(scopes) - 1
        return tuple(
            _frame(self._jvm.methods.at(scope.method), scope.bci, pc, inlined=index < last)
            for index, scope in enumerate(scopes)
        )

    def _stub(self, blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
        frames = (Frame(blob.name, "code cache", offset=cursor.pc - blob.code_begin, internal=True, pc=cursor.pc),)
        if blob.frame_size:
            return _by_size(frames, blob, cursor, memory)
        if blob.name.startswith(_FRAMELESS):
            return _stop(f"{blob.name} cannot call: {_CHANGED}", frames)
        return _by_frame_pointer(frames, cursor, memory, sp_slot=None)


def _by_size(frames: tuple[Frame, ...], blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
    """The caller of a frame of fixed size: return address on top of it, the caller's rbp below that."""
    sp = cursor.sp + blob.frame_size * _WORD
    if blob.frame_size < 2:
        return _stop(f"{_CHANGED} (a frame of {blob.frame_size} words)")
    try:
        return _caller(frames, cursor, pc=memory.u64(sp - _WORD), sp=sp, bp=memory.u64(sp - 2 * _WORD))
    except MemoryUnreadable as unreadable:
        return _stop(str(unreadable), frames)


def _by_frame_pointer(frames: tuple[Frame, ...], cursor: Cursor, memory: Memory, sp_slot: Optional[int]) -> Step:
    """The caller of a frame that hangs on rbp. An interpreted one may have moved the caller's sp: see ``sp_slot``."""
    if cursor.bp is None or cursor.bp < cursor.sp or cursor.bp % _WORD:
        return _stop("the frame pointer was not preserved", frames)
    try:
        sp = cursor.bp + 2 * _WORD if sp_slot is None else memory.u64(cursor.bp - sp_slot * _WORD)
        return _caller(frames, cursor, pc=memory.u64(cursor.bp + _WORD), sp=sp, bp=memory.u64(cursor.bp))
    except MemoryUnreadable as unreadable:
        return _stop(str(unreadable), frames)


def _caller(frames: tuple[Frame, ...], cursor: Cursor, pc: int, sp: int, bp: int) -> Step:
    # Callers lie higher on the stack: this bounds every walk.
    if sp <= cursor.sp or sp % _WORD or pc == 0:
        return _stop(f"{_CHANGED} (its caller's frame would make no sense)")
    registers: list[Optional[int]] = [None] * arch.REGISTER_COUNT
    registers[arch.RBP], registers[arch.RSP], registers[arch.RETURN_ADDRESS] = bp, sp, pc
    return Step(frames, Cursor(tuple(registers), is_return=True))


def _frame(method: JavaMethod, bci: Optional[int], pc: int, inlined: bool = False, note: Optional[str] = None) -> Frame:
    """``offset`` is the bytecode index: Java's own measure of where in the method."""
    return Frame(
        function=method.qualified,
        module=None,
        offset=bci or 0,
        file=method.file,
        line=method.line(bci),
        language="java",
        inlined=inlined,
        internal=method.internal,
        note=note,
        pc=pc,
    )


def _stop(reason: str, frames: tuple[Frame, ...] = ()) -> Step:
    return Step(frames, None, stop=reason)
