"""Where Python's functions come among C functions, for stacks of which each C frame is 100 bytes long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import pytest

from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.languages.cpython.names import Names
from tracer.stacks.languages.cpython.unwinder import EvalLoops
from tracer.stacks.languages.cpython.words import Call
from tracer.stacks.late import Window

EVAL = "_PyEval_EvalFrameDefault"
ENTRY = 0xFF << 56
SIZE = 100
INNER, OUTER = (1, 0), (2, 0)


class Numbers(Names):
    """Names each function after its code object's address."""

    def __init__(self) -> None:
        pass

    def frames(self, calls: Sequence[Call], ns: int, window: Window) -> tuple[Frame, ...]:
        window.narrow(ns, ns)
        return tuple(Frame(f"f{call.code}", None, file="/app/f.py", language="python") for call in calls)


class Listed:
    """C functions one above the other; the last one is the thread's first unless the copy ends there."""

    def __init__(self, functions: Sequence[str], complete: bool) -> None:
        self._functions, self._complete = functions, complete

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:  # noqa: ARG002
        index = cursor.sp // SIZE
        module = "libc.so.6" if self._functions[index] == "recv" else "python3.11"
        frames = (Frame(self._functions[index], module, internal=True, pc=1),)
        if index + 1 == len(self._functions):
            return Step(frames, None, self._complete, None if self._complete else "the copy ends here")
        registers: list[Optional[int]] = [0] * 17
        registers[7], registers[16] = (index + 1) * SIZE, 1
        return Step(frames, Cursor(tuple(registers), True))


class NoMemory:
    """Nothing is read."""

    def read(self, address: int, size: int) -> bytes:
        raise MemoryUnreadable(f"{size} bytes at {address:#x}")

    def u64(self, address: int) -> int:
        raise MemoryUnreadable(f"a word at {address:#x}")

    def stack_word(self, address: int, size: int) -> int:
        raise MemoryUnreadable(f"{size} bytes at {address:#x}")


def merged(
    c: Sequence[str],
    words: Sequence[tuple[int, int]],
    *,
    minor: int = 11,
    end: WordsEnd = WordsEnd.COMPLETE,
    complete: bool = True,
) -> Stack:
    """The stack of the C functions ``c`` (innermost first) and ``words``."""
    native = Listed(c, complete)
    loops = EvalLoops(native, Numbers(), minor, "python3.11")
    box = BlackBox(1, 1, (0,) * 17, b"", cut=False, ns=5, words=tuple(words), words_end=end, language=1)
    loops.begin(box)
    frames: list[Frame] = []
    cursor: Optional[Cursor] = Cursor((0,) * 17, True)
    note = None
    while cursor is not None:
        step = loops.step(cursor, NoMemory()) or native.step(cursor, NoMemory())
        assert step is not None
        frames += step.frames
        cursor, note = step.caller, step.stop
    return loops.finish(Stack(tuple(frames), complete, note)).stack


def names(stack: Stack) -> list[Optional[str]]:
    return [frame.function for frame in stack.frames]


def test_an_eval_loop_is_where_its_place_lies_whatever_it_is_called() -> None:
    """[sp, CFA) of the second function holds the first place, that of the fourth the second."""
    words = [INNER, (150, ENTRY), OUTER, (3, 0), (399, ENTRY)]
    assert names(merged(["recv", "handler", "qsort", "", "main"], words)) == ["recv", "f1", "qsort", "f2", "f3", "main"]


def test_a_place_at_the_border_belongs_to_the_function_above() -> None:
    """The first byte of a frame is its own, the one behind its last is not."""
    assert names(merged(["recv", "handler", "main"], [INNER, (100, ENTRY)])) == ["recv", "f1", "main"]
    assert names(merged(["recv", "handler", "main", "x"], [INNER, (200, ENTRY)])) == ["recv", "handler", "f1", "x"]


def test_the_base_frame_of_3_15_is_no_eval_loop() -> None:
    """It ends the words and lies in the thread's state."""
    words = [INNER, (150, ENTRY), (1 << 40, ENTRY)]
    stack = merged(["recv", EVAL, "main"], words, minor=15)
    assert names(stack) == ["recv", "f1", "main"]
    assert not any(frame.note for frame in stack.frames)


@pytest.mark.parametrize("minor", [8, 9, 10])
def test_before_3_11_each_eval_loop_runs_one_function(minor: int) -> None:
    """They are counted by their symbol."""
    c = ["recv", EVAL, "call", f"{EVAL}.cold", "main"]
    assert names(merged(c, [INNER, OUTER], minor=minor)) == ["recv", "f1", "call", "f2", "main"]


def test_if_the_count_differs_nothing_is_put_in_between() -> None:
    """The C functions up to the first eval loop, then Python's, with a note; too many loops as well as too few."""
    for c in (["recv", EVAL, "call", "main"], ["recv", EVAL, EVAL, EVAL, "main"]):
        stack = merged(c, [INNER, OUTER], minor=10)
        assert names(stack) == ["recv", "f1", "f2"]
        assert "could not be told" in (stack.frames[1].note or "")


def test_a_place_that_no_function_has_ends_the_merging() -> None:
    """As a count that differs."""
    stack = merged(["recv", EVAL, "call", EVAL, "main"], [INNER, (150, ENTRY), OUTER, (9000, ENTRY)])
    assert names(stack) == ["recv", "f1", "f2"]


def test_an_eval_loop_of_another_interpreter_says_that_a_function_is_missing() -> None:
    """Each interpreter has its own chain of frames, and a thread tells one of them."""
    for words, at in (([INNER, (150, ENTRY)], 3), ([OUTER, (350, ENTRY)], 1)):
        stack = merged(["recv", EVAL, "call", EVAL, "main"], words)
        assert [index for index, frame in enumerate(stack.frames) if frame.note] == [at]
        assert "not copied" in (stack.frames[at].note or "")


def test_python_goes_on_where_the_copy_of_the_c_stack_ends() -> None:
    """Its frames were copied apart. So the stack is whole, but for the C functions."""
    stack = merged(["recv", EVAL, "call"], [INNER, (150, ENTRY), OUTER, (9000, ENTRY)], complete=False)
    assert names(stack) == ["recv", "f1", "call", "f2"]
    assert stack.complete
    assert "C functions" in (stack.frames[3].note or "")


def test_an_eval_loop_that_the_copy_cuts_is_not_shown_beside_its_functions() -> None:
    """Where its frame ends is not known, but what it is."""
    assert names(merged(["recv", EVAL], [INNER, (9000, ENTRY)], complete=False)) == ["recv", "f1"]


@pytest.mark.parametrize("loop", [EVAL, ""])
def test_words_that_end_early_say_so_at_the_last_function(loop: str) -> None:
    """Nothing tells where their eval loop lies. Its symbol does if there is one."""
    stack = merged(["recv", loop, "call", "main"], [INNER, OUTER], end=WordsEnd.LIMIT)
    assert names(stack)[:3] == ["recv", "f1", "f2"]
    assert "too many" in (stack.frames[2].note or "")


def test_a_perf_map_does_not_name_a_function_twice() -> None:
    """CPython's code for calling it lies below its eval loop."""
    native = Listed(["recv", EVAL, "py", "main"], True)
    stack = merged(["recv", EVAL, "main"], [INNER, (150, ENTRY)])
    trampoline = Frame("f1", "[anon]", file="/app/f.py", language="python")
    loops = EvalLoops(native, Numbers(), 12, "python3.12")
    loops.begin(BlackBox(1, 1, (0,) * 17, b"", cut=False, words=(INNER, (150, ENTRY)), words_end=WordsEnd.COMPLETE))
    frames = (*stack.frames[:2], trampoline, stack.frames[2])
    assert names(loops.finish(Stack(frames, True)).stack)[:2] == ["recv", "f1"]


def test_without_words_nothing_changes() -> None:
    """The interpreter's own functions are shown, as for a build that is not known."""
    assert names(merged(["recv", EVAL, "main"], [])) == ["recv", EVAL, "main"]
