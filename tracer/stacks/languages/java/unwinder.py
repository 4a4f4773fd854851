"""The HotSpot link of the chain: Java frames of the interpreter, C1 and C2, native wrappers and stubs.

The frames of x86-64 (src/hotspot/cpu/x86/frame_x86.hpp): an interpreted frame is found through rbp. A compiled frame
has a fixed size, which is in its CodeBlob; the caller's rbp is just below the return address. Stacks are copied inside
system calls. So a Java frame is never the innermost one, and a frame is never half built (prologue, epilogue).
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
from tracer.stacks.target.reader import Nonsense

_WORD = 8
_SENDER_SP_SLOT, _METHOD_SLOT = 1, 3  # words below rbp (frame_x86.hpp)
_ENTER_SPECIAL = "jdk.internal.vm.Continuation.enterSpecial"
_PARKED = "virtual thread: callers that are in the Java heap cannot be read"
_FIRST = "first frame of the virtual thread"
_CHANGED = "compiled code changed since the touch"
_FRAMELESS = ("vtable", "itable", "I2C", "MethodHandles")


class HotSpotUnwinder:
    """Unwinds code in the code cache of one JVM.

    ``is_generated`` tells whether an address is in code that no file backs. Used when the code heaps cannot be read.
    """

    def __init__(self, jvm: Jvm, is_generated: Callable[[int], bool]) -> None:
        self._jvm = jvm
        self._is_generated = is_generated

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step from generated code to its caller; None if the pc is elsewhere. Never raises: errors end the stack."""
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
        """Check that the caller is generated code (perhaps a stub). Only such code calls a Java method."""
        if step.caller is not None and self._jvm.code.heap(step.caller.lookup) is None:
            return _stop(_CHANGED)
        return step

    def _interpreted(self, cursor: Cursor, memory: Memory) -> Step:
        bcp_slot = self._jvm.layout.bcp_slot
        if cursor.bp is None:
            return _stop("the frame pointer of an interpreted frame is not known")
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
            # The caller is the carrier thread, which runs one virtual thread after another.
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
            return _stop(f"{blob.name} makes no calls, so {_CHANGED}", frames)
        return _by_frame_pointer(frames, cursor, memory, sp_slot=None)


def _by_size(frames: tuple[Frame, ...], blob: CodeBlob, cursor: Cursor, memory: Memory) -> Step:
    """Find the caller of a frame of fixed size: its highest word is the return address, below is the caller's rbp."""
    sp = cursor.sp + blob.frame_size * _WORD
    if blob.frame_size < 2:
        return _stop(f"{_CHANGED} (a frame of {blob.frame_size} words)")
    try:
        return _caller(frames, cursor, pc=memory.u64(sp - _WORD), sp=sp, bp=memory.u64(sp - 2 * _WORD))
    except MemoryUnreadable as unreadable:
        return _stop(str(unreadable), frames)


def _by_frame_pointer(frames: tuple[Frame, ...], cursor: Cursor, memory: Memory, sp_slot: Optional[int]) -> Step:
    """Find the caller of a frame through rbp. ``sp_slot`` is the word below rbp with the caller's sp (interpreter)."""
    if cursor.bp is None or cursor.bp < cursor.sp or cursor.bp % _WORD:
        return _stop("the frame pointer is not known", frames)
    try:
        sp = cursor.bp + 2 * _WORD if sp_slot is None else memory.u64(cursor.bp - sp_slot * _WORD)
        return _caller(frames, cursor, pc=memory.u64(cursor.bp + _WORD), sp=sp, bp=memory.u64(cursor.bp))
    except MemoryUnreadable as unreadable:
        return _stop(str(unreadable), frames)


def _caller(frames: tuple[Frame, ...], cursor: Cursor, pc: int, sp: int, bp: int) -> Step:
    # A caller is always higher on the stack, so a walk cannot run forever.
    if sp <= cursor.sp or sp % _WORD or pc == 0:
        return _stop(f"{_CHANGED} (it gives an impossible caller)")
    registers: list[Optional[int]] = [None] * arch.REGISTER_COUNT
    registers[arch.RBP], registers[arch.RSP], registers[arch.RETURN_ADDRESS] = bp, sp, pc
    return Step(frames, Cursor(tuple(registers), is_return=True))


def _frame(method: JavaMethod, bci: Optional[int], pc: int, inlined: bool = False, note: Optional[str] = None) -> Frame:
    """Make a frame. Its ``offset`` is the bytecode index, as Java itself gives places in a method."""
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
