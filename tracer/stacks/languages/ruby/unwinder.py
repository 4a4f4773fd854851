"""The link of the chain for Ruby: puts methods and blocks in place of the vm_exec that runs them.

The C functions of Ruby have no symbols where it was stripped. But compiled Ruby code has the addresses of the machine
code for its instructions, and all of that is in one C function, which is on the stack once for each vm_exec.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step, Unwinder
from tracer.stacks.language import Finished
from tracer.stacks.languages.ruby import NAME
from tracer.stacks.languages.ruby.functions import function_around
from tracer.stacks.languages.ruby.names import Names
from tracer.stacks.languages.ruby.process import Ruby
from tracer.stacks.languages.ruby.words import Call, loops
from tracer.stacks.late import Window, noted_first, noted_last
from tracer.stacks.target.reader import Nonsense, Reader

_NO_C = "C functions from here on are not known"
_NOT_MATCHED = "C functions between the Ruby methods could not be told"
_NOW_NS = (1 << 63) - 1
"""After all that was read before: what a thread does now is read anew."""
_ENDS = {
    WordsEnd.LIMIT: "its callers were too many to be copied",
    WordsEnd.UNREAD: "its caller could not be copied",
}


class RubyLoops:
    """Implements :class:`tracer.stacks.chain.Unwinder` for one process that runs Ruby."""

    def __init__(self, native: Unwinder, reader: Reader, ruby: Ruby, names: Names) -> None:
        self._native, self._reader, self._ruby, self._names = native, reader, ruby, names
        self._module = posixpath.basename(ruby.module)
        self._code: Optional[tuple[int, int]] = None
        self._ns, self._is_now = 0, False
        self._end = WordsEnd.NONE
        self._loops: tuple[tuple[Call, ...], ...] = ()
        self._left: deque[tuple[Call, ...]] = deque()
        self._window = Window()

    def begin(self, box: BlackBox) -> None:
        """Start another stack."""
        self._is_now = box.ns is None
        self._ns = box.ns if box.ns is not None else _NOW_NS
        self._end, self._window = box.words_end, Window()
        self._loops = loops(box.words, self._end is WordsEnd.COMPLETE)
        self._left = deque(self._loops)
        if self._loops and self._code is None:
            self._code = self._vm_exec()

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step over compiled code. Where that is a vm_exec, the step has the frames of what it runs."""
        if not self._left:
            return None
        step = self._native.step(cursor, memory)
        if step is None or self._code is None or not self._code[0] <= cursor.lookup < self._code[1]:
            return step
        frames = self._named(self._left.popleft())
        return replace(step, frames=frames) if frames else step

    def finish(self, stack: Stack) -> Finished:
        """Add to the walked ``stack`` what found no place in it."""
        if not self._loops:
            return Finished(stack)
        if self._left and self._is_now:
            return Finished(self._without_ruby(stack))
        if self._left and not stack.complete:
            stack = self._with_rest(stack)
        elif self._left:
            stack = self._ruby_first(stack)
        frames = noted_last(stack.frames, _ENDS.get(self._end), _is_ruby)
        return Finished(replace(stack, frames=frames), self._window.since_ns, self._window.until_ns)

    def _vm_exec(self) -> Optional[tuple[int, int]]:
        """The machine code of the instructions; None if it cannot be told."""
        handler = self._names.handler([call for calls in self._loops for call in calls], self._ns)
        try:
            return function_around(self._reader, self._ruby.functions, handler) if handler is not None else None
        except (Nonsense, MemoryUnreadable):
            return None

    def _named(self, *several: Sequence[Call]) -> tuple[Frame, ...]:
        return self._names.frames([call for calls in several for call in calls], self._ns, self._window)

    def _with_rest(self, stack: Stack) -> Stack:
        """The C stack was not copied to its end, Ruby's frames were."""
        frames = (*stack.frames, *noted_first(self._named(*self._left), _NO_C))
        is_whole = self._end is WordsEnd.COMPLETE
        return Stack(frames, is_whole, None if is_whole else stack.note)

    def _without_ruby(self, stack: Stack) -> Stack:
        """The thread has gone on since its C stack was copied, so its methods are of another moment."""
        return replace(stack, frames=tuple(frame for frame in stack.frames if frame.language != NAME))

    def _ruby_first(self, stack: Stack) -> Stack:
        """The C functions up to the first one of Ruby, then all of Ruby's: nothing is put in between by guess."""
        frames = stack.frames
        is_own = [frame.language == NAME or frame.module == self._module for frame in frames]
        end = is_own.index(True) if True in is_own else len(frames)
        return replace(stack, frames=(*frames[:end], *noted_first(self._named(*self._loops), _NOT_MATCHED)))


def _is_ruby(frame: Frame) -> bool:
    return frame.language == NAME
