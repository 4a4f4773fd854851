"""The link of the chain for CPython: puts Python's functions in place of the eval loops that run them.

It goes by addresses, not by names of C functions: an interpreter may be built so that the functions that run the
bytecode have no name and no frame of their own (tail calls, 3.14). Before 3.11 nothing tells the address, but each
function has one eval loop, whose symbol is exported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import Cursor, Memory, Step, Unwinder
from tracer.stacks.language import Finished
from tracer.stacks.languages.cpython.names import Names
from tracer.stacks.languages.cpython.words import Loop, loops
from tracer.stacks.late import Window, noted_first, noted_last

_EVAL_LOOP = "_PyEval_EvalFrameDefault"
_NO_C = "C functions from here on are not known"
_NOT_COPIED = "a Python function runs here that was not copied"
_NOT_MATCHED = "C functions between the Python functions could not be told"
_NOW_NS = 1 << 62
"""For a thread as it is now: nothing that was read before is new enough."""
_ENDS = {
    WordsEnd.LIMIT: "its callers were too many to be copied",
    WordsEnd.UNREAD: "its caller could not be copied",
}


class EvalLoops:
    """Implements :class:`tracer.stacks.chain.Unwinder` for one process that runs CPython 3.``minor``.

    ``module`` is the base name of the file that has the interpreter's code.
    """

    def __init__(self, native: Unwinder, names: Names, minor: int, module: str) -> None:
        self._native, self._names, self._minor, self._module = native, names, minor, module
        self._ns = 0
        self._end = WordsEnd.NONE
        self._loops: tuple[Loop, ...] = ()
        self._left: deque[Loop] = deque()
        self._window = Window()

    def begin(self, box: BlackBox) -> None:
        """Start another stack."""
        self._ns = box.ns if box.ns is not None else _NOW_NS
        self._end, self._window = box.words_end, Window()
        self._loops = loops(box.words, self._minor)
        self._left = deque(self._loops)

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step over compiled code. Where that is an eval loop, the step has the frames of what it runs."""
        if not self._left:
            return None
        step = self._native.step(cursor, memory)
        if step is None or not _is_at(self._left[0], step, cursor.sp):
            return step
        frames = self._named(self._left.popleft())
        return replace(step, frames=frames) if frames else step

    def finish(self, stack: Stack) -> Finished:
        """Add to the walked ``stack`` what found no place in it."""
        if not self._loops:
            return Finished(stack)
        if self._left and not stack.complete:
            stack = self._with_rest(stack)
        elif len(self._left) == 1 and self._minor >= 11 and self._left[0].place is None:
            stack = self._with_last(stack)
        elif self._left or self._has_other_loops(stack):
            stack = self._python_first(stack)
        elif self._minor >= 11 and self._end is WordsEnd.COMPLETE:
            stack = _with_other_loops(stack)
        frames = noted_last(_without_doubles(stack.frames), _ENDS.get(self._end), _is_own)
        if self._ns == _NOW_NS:  # its words were read from memory, so an equal box may be of another function
            return Finished(replace(stack, frames=frames), 1, 0)
        return Finished(replace(stack, frames=frames), self._window.since_ns, self._window.until_ns)

    def _named(self, *several: Loop) -> tuple[Frame, ...]:
        calls = [call for loop in several for call in loop.calls]
        return self._names.frames(calls, self._ns, self._window)

    def _with_rest(self, stack: Stack) -> Stack:
        """The C stack was not copied to its end, Python's frames were."""
        frames = (*stack.frames, *noted_first(self._named(*self._left), _NO_C))
        is_whole = self._end is WordsEnd.COMPLETE
        return Stack(frames, is_whole, None if is_whole else stack.note)

    def _with_last(self, stack: Stack) -> Stack:
        """The words end within an eval loop, so nothing tells which C function that is."""
        last = next((i for i in reversed(range(len(stack.frames))) if _is_own(stack.frames[i])), None)
        end = last + 1 if last is not None else self._first_loop(stack.frames)
        return replace(stack, frames=(*stack.frames[:end], *noted_first(self._named(*self._left), _NO_C)))

    def _has_other_loops(self, stack: Stack) -> bool:
        """Whether eval loops are left over where each function has one: then they were matched wrongly."""
        counted = self._minor < 11 and self._end is WordsEnd.COMPLETE
        return counted and any(map(_is_eval_loop, stack.frames))

    def _python_first(self, stack: Stack) -> Stack:
        """The C functions up to the first eval loop, then all of Python's: nothing is put in between by guess."""
        first = stack.frames[: self._first_loop(stack.frames)]
        return replace(stack, frames=(*first, *noted_first(self._named(*self._loops), _NOT_MATCHED)))

    def _first_loop(self, frames: Sequence[Frame]) -> int:
        """The index of the first eval loop, or of what is in its place; without symbols that of the interpreter."""
        for is_it in (lambda f: _is_own(f) or _is_eval_loop(f), lambda f: f.module == self._module):
            found = next((index for index, frame in enumerate(frames) if is_it(frame)), None)
            if found is not None:
                return found
        return len(frames)


def _with_other_loops(stack: Stack) -> Stack:
    """Say at an eval loop that was left over that a function is missing: one that another interpreter runs."""
    first = next((index for index, frame in enumerate(stack.frames) if _is_eval_loop(frame)), len(stack.frames))
    return replace(stack, frames=(*stack.frames[:first], *noted_first(stack.frames[first:], _NOT_COPIED)))


def _is_at(loop: Loop, step: Step, sp: int) -> bool:
    """Whether ``loop`` is run by the C function of ``step``, whose frame begins at ``sp``."""
    if loop.place is not None and step.caller is not None:
        return sp <= loop.place < step.caller.sp
    return any(map(_is_eval_loop, step.frames)) and (loop.place is None or sp <= loop.place)


def _is_eval_loop(frame: Frame) -> bool:
    return frame.language != "python" and (frame.function or "").startswith(_EVAL_LOOP)


def _is_own(frame: Frame) -> bool:
    """Whether a frame was named by words; those of perf maps have a module."""
    return frame.language == "python" and frame.module is None


def _without_doubles(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Leave out what a perf map says of the same functions: CPython then makes code to call each of them."""
    last = max((index for index, frame in enumerate(frames) if _is_own(frame)), default=-1)
    doubled = last + 1 if last + 1 < len(frames) and frames[last + 1].language == "python" else last
    return tuple(f for i, f in enumerate(frames) if i > doubled or f.language != "python" or _is_own(f))
