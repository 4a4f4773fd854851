"""The V8 link of the chain: JavaScript frames of the interpreter and of compiled code, and V8's own builtins.

All code that V8 generates keeps frame pointers (src/execution/frame-constants.h): below the frame pointer is either the
type of V8's own frame, or a context and below that the function. Functions move within milliseconds. So the kernel side
reads one word of each at the touch: its SharedFunctionInfo, by the frame pointer (:attr:`BlackBox.words`).
"""

from __future__ import annotations

import enum
import posixpath
from dataclasses import dataclass, replace
from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Frame
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.language import Target
from tracer.stacks.languages.node import UNNAMED
from tracer.stacks.languages.node.code import CodeSpace, Place
from tracer.stacks.languages.node.functions import Function, Functions
from tracer.stacks.languages.node.heap import Heap, is_pointer, smi
from tracer.stacks.languages.node.layout import Layout
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.reader import Nonsense, Reader

NUMBER = 2
"""What the kernel side calls this language."""
_NOT_READ = "its name was not read at the call, and the function has moved since"
_UNCONFIRMED = "name as read later: nothing confirms it"
_OTHER = "another function is by now where this one was"
_NO_INLINED = "compiled: functions that were inlined into it are not shown"
_MAX_FRAME_TYPE = 64
_ENTRIES = (1, 2)
"""The types of the frames between C++ and JavaScript. They save registers that C++ needs back."""
_MAX_COMPILED_KEPT = 20_000


class V8Unwinder:
    """Unwinds and names what V8 generated in one process. ``library`` is the first mapping of the file it is in."""

    def __init__(self, target: Target, library: Mapping, layout: Layout) -> None:
        self._process, self._native, self._names = target.process, target.native, target.names
        self._library, self._layout = library, layout
        heap = Heap(Reader(target.process))
        self._heap = heap
        self._functions = Functions(heap, layout)
        self._code = CodeSpace(target.process, heap, layout, self._functions)
        self._compiled: set[int] = set()
        self._words: dict[int, int] = {}
        self._is_now = False

    def begin(self, box: BlackBox) -> None:
        """Another stack. Of a thread as it is now, functions have not moved since."""
        self._words = dict(box.words) if box.language == NUMBER else {}
        self._is_now = box.ns is None

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step from V8's code to its caller; None if the pc is elsewhere. Never raises for what the target holds."""
        if not cursor.is_return or cursor.bp is None or cursor.bp % 8 or cursor.bp < cursor.sp:
            return None
        generated = self._is_generated(cursor, memory)
        if generated is None:
            return None
        try:
            below = memory.stack_word(cursor.bp + self._layout.frames.context, 8)
            frames = self._frames(cursor, memory, below, generated)
            return Step(frames, _caller(cursor, memory)) if frames else None
        except MemoryUnreadable as unreadable:
            return Step((), None, stop=str(unreadable))

    def _is_generated(self, cursor: Cursor, memory: Memory) -> Optional[bool]:
        """Whether V8 made this code while it runs; False for its builtins, which are in its file, None for others'.

        Builtins are those parts of the file that have no call frame information.
        """
        mapping = self._process.mapping(cursor.lookup)
        if mapping is None or not mapping.executable:
            return None
        if not mapping.is_file:
            return True if mapping.path[:2] != "[v" else None
        if (mapping.dev, mapping.inode) != (self._library.dev, self._library.inode) or cursor.pc in self._compiled:
            return None
        if self._native.step(cursor, memory) is None:
            return False
        if len(self._compiled) > _MAX_COMPILED_KEPT:
            self._compiled.clear()
        self._compiled.add(cursor.pc)
        return None

    def _frames(self, cursor: Cursor, memory: Memory, below: int, generated: bool) -> tuple[Frame, ...]:
        """The frames of one machine frame; none where another link knows better."""
        if is_pointer(below):
            return self._javascript(cursor, memory, generated)
        kind = below >> 1
        if below & 1 or not 0 < kind < _MAX_FRAME_TYPE or kind in _ENTRIES:
            return ()
        return self._own(cursor)

    def _own(self, cursor: Cursor) -> tuple[Frame, ...]:
        """Frames of V8's own code."""
        return tuple(replace(frame, internal=True) for frame in self._names(cursor))

    def _javascript(self, cursor: Cursor, memory: Memory, generated: bool) -> tuple[Frame, ...]:
        shared = self._words.get(cursor.bp or 0)
        known = _Known.NOW if self._is_now else _Known.LATER if shared is None else _Known.AT_TOUCH
        try:
            if shared is None:
                slot = (cursor.bp or 0) + self._layout.frames.function
                shared = self._functions.shared_of(memory.stack_word(slot, 8))
            at = _At(cursor, shared, self._functions.at(shared), known)
            compiled = self._compiled_at(at) if generated else ()
            return compiled or self._interpreted(at, memory, generated)
        except (Nonsense, MemoryUnreadable):
            return self._unnamed(cursor, _NOT_READ if known is _Known.LATER else _OTHER)

    def _interpreted(self, at: _At, memory: Memory, generated: bool) -> tuple[Frame, ...]:
        """A frame of the interpreter, which has its bytecodes, or of a builtin function, or of unknown code."""
        if not at.function.script:
            return (at.frame(None),) if at.function.name else self._own(at.cursor)
        bp, slots = at.cursor.bp or 0, self._layout.frames
        bytecodes, word = (memory.stack_word(bp + slot, 8) for slot in (slots.bytecode_array, slots.bytecode_offset))
        if word & 0xFFFFFFFF:
            return (at.unconfirmed(_NO_INLINED if generated else None),)
        offset = smi(word) - (self._layout.bytecodes - 1)
        if self._heap.type_or_none(bytecodes) == self._layout.types.bytecode_array:
            return (self._in_bytecodes(at, bytecodes, offset),)
        own = self._functions.bytecodes_of(at.shared)  # the frame's have moved: those of its function have, too
        if own is None or not self._code.may_call(own, offset):
            raise Nonsense("bytecodes without a call there")
        return (replace(at.unconfirmed(None), line=self._line(at.function, self._code.source_offset(own, offset))),)

    def _in_bytecodes(self, at: _At, bytecodes: int, offset: Optional[int]) -> Frame:
        own = self._functions.bytecodes_of(at.shared)
        if own is None:  # V8 drops those of functions that were not called for long
            return at.unconfirmed(None)
        if own != bytecodes:
            raise Nonsense("another function's bytecodes")
        if offset is None or not 0 <= offset < self._code.bytecode_count(bytecodes):
            return at.frame(None)
        return at.frame(self._line(at.function, self._code.source_offset(bytecodes, offset)))

    def _compiled_at(self, at: _At) -> tuple[Frame, ...]:
        """Frames of compiled code; none where there is no Code for the address. Raises Nonsense for another's."""
        try:
            compiled = self._code.at(at.cursor.lookup)
        except (Nonsense, MemoryUnreadable):
            return ()
        if compiled is None:
            return ()
        if not compiled.places:
            return (self._in_bytecodes(at, compiled.bytecodes, compiled.bytecode_offset),)
        *inlined, outer = compiled.places
        if outer.shared != at.shared:
            raise Nonsense("another function's code")
        return (*(self._inlined(at, place) for place in inlined), at.frame(self._line(at.function, outer.offset)))

    def _inlined(self, at: _At, place: Place) -> Frame:
        function = self._functions.at(place.shared) if place.shared else at.function
        line = self._line(function, place.offset)
        return replace(_frame(at.cursor, function, line), inlined=True)

    def _line(self, function: Function, offset: Optional[int]) -> Optional[int]:
        try:
            return self._functions.line(function, offset) if offset is not None else None
        except (Nonsense, MemoryUnreadable):  # sources may be large, and are kept in many ways
            return None

    def _unnamed(self, cursor: Cursor, why: str) -> tuple[Frame, ...]:
        """A frame without the function's name, unless a perf map has it."""
        found = self._names(cursor)
        if found and found[-1].language == "node" and not found[-1].internal:
            return found
        return (Frame(UNNAMED, None, language="node", note=why, pc=cursor.pc),)


class _Known(enum.Enum):
    """When a frame's function was read: while its thread waits there, at the touch, or later: it may have moved."""

    NOW = 0
    AT_TOUCH = 1
    LATER = 2


@dataclass(frozen=True)
class _At:
    """A frame and its function."""

    cursor: Cursor
    shared: int
    function: Function
    known: _Known

    def frame(self, line: Optional[int]) -> Frame:
        """Its frame, where something confirms the function."""
        return _frame(self.cursor, self.function, line)

    def unconfirmed(self, note: Optional[str]) -> Frame:
        """Its frame where nothing does. Raises Nonsense for a function that may be another one."""
        if self.known is _Known.LATER:
            raise Nonsense("nothing confirms the function")
        notes = [text for text in (_UNCONFIRMED if self.known is _Known.AT_TOUCH else None, note) if text]
        return replace(self.frame(None), note="; ".join(notes) or None)


def _frame(cursor: Cursor, function: Function, line: Optional[int]) -> Frame:
    file = function.file
    unnamed = f"<anonymous> ({posixpath.basename(file)})" if file else "<anonymous>"
    internal = not function.script or (file or "").startswith("node:")
    return Frame(function.name or unnamed, None, file=file, line=line, language="node", internal=internal, pc=cursor.pc)


def _caller(cursor: Cursor, memory: Memory) -> Cursor:
    """The caller's registers, of those that matter. Raises MemoryUnreadable."""
    bp = cursor.bp or 0
    registers: list[Optional[int]] = [None] * arch.REGISTER_COUNT
    registers[arch.RBP], registers[arch.RETURN_ADDRESS] = memory.stack_word(bp, 8), memory.stack_word(bp + 8, 8)
    registers[arch.RSP] = bp + 16
    return Cursor(tuple(registers), is_return=True)
