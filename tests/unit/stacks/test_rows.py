"""A stack that is walked by rows must be equal to the result of a walk. If not, no stack may be told."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stacks.test_memo import BY_BP, BY_SP, END, KINDS, SAVES, Code, NoProcess, stack_of
from tracer.machine.registers import RBP, RSP
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.chain import FIRST_FRAME, Cursor, Memory, Row, Step
from tracer.stacks.elf.cfi import Expression, RegisterPlus, Rule
from tracer.stacks.memo import Memo
from tracer.stacks.rows import Rows, StepRow
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.walk import MAX_FRAMES, walk
from tracer.stacks.witness import ReadLog, Witness

KIND_ROWS = {
    END: FIRST_FRAME,
    BY_SP: Row(RSP, 32, -8, 0),
    BY_BP: Row(RBP, 16, -8, 0, ((RBP, -16),)),
    SAVES: Row(RSP, 32, -8, 0, ((RBP, -16),)),
}
BASE = 0x7F0000001000


class CodeWithRows(Code):
    """The same four kinds of functions, with their rows."""

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        step = super().step(cursor, memory)
        return replace(step, row=KIND_ROWS[cursor.pc & ~0xFFF]) if step is not None else None


def walked(box: BlackBox, rows: Optional[Rows] = None) -> Stack:
    """The stack by a walk. ``rows`` learn it."""
    code = CodeWithRows()
    recorder = ReadLog(BoxMemory(box, NoProcess()), box)
    witness = Witness([code], code, recorder, box)
    stack = walk(box, recorder, [witness])
    if rows is not None:
        told = [StepRow(pc, at, at + 1, row) for at, (pc, _, row) in enumerate(witness.rows) if row is not None]
        rows.learn(told, stack, 0, 1 << 62)
    return stack


@given(KINDS, st.integers(0, 1 << 30), st.data())
def test_other_ways_through_known_places(kinds: list[int], seed: int, data: st.DataObject) -> None:
    """Each place was met on some stack: then every way through them is known, and the memo knows it again."""
    noise, rows, memo = random.Random(seed), Rows(), Memo()
    box = stack_of(kinds, BASE, noise)
    for index in range(len(kinds)):  # each place by a stack of its own
        walked(other_with(box, kinds, index, noise), rows)
    walked(box, rows)
    again = stack_of(kinds, BASE + 0x770, noise)
    attempt = rows.walk(again)
    assert attempt.stack == walked(again)
    assert attempt.steps == len(kinds) + 1
    assert attempt.stack is not None
    assert attempt.rests is not None
    memo.keep(again, attempt.rests, attempt.stack)
    assert memo.find(stack_of(kinds, BASE, noise)) is attempt.stack
    other = stack_of(data.draw(KINDS), BASE, noise)
    found = memo.find(other)
    assert found is None or found == walked(other)


def other_with(box: BlackBox, kinds: list[int], index: int, noise: random.Random) -> BlackBox:
    """A box whose only frames are that of one place and the first frame's."""
    other = stack_of([kinds[index]], BASE, noise)
    return replace(other, registers=(*other.registers[:16], kinds[index] + index))


@given(KINDS, st.integers(0, 1 << 30), st.data())
def test_a_changed_word_never_gives_a_wrong_stack(kinds: list[int], seed: int, data: st.DataObject) -> None:
    """One word is overwritten. Then no stack is told, or the one that a walk of the changed box gives."""
    noise, rows = random.Random(seed), Rows()
    box = stack_of(kinds, BASE, noise)
    walked(box, rows)
    at = 8 * data.draw(st.integers(0, len(box.stack) // 8 - 1))
    word = data.draw(st.sampled_from([0, END, kinds[0], BASE, BASE + 8 * len(kinds), (1 << 64) - 8]))
    changed = replace(box, stack=box.stack[:at] + struct.pack("<Q", word) + box.stack[at + 8 :])
    attempt = rows.walk(changed)
    assert attempt.stack is None or attempt.stack == walked(changed)


@given(KINDS, st.integers(0, 1 << 30), st.floats(0, 0.99))
def test_a_cut_stack_is_left_to_a_walker(kinds: list[int], seed: int, share: float) -> None:
    """So is one whose page was not in memory."""
    noise, rows = random.Random(seed), Rows()
    box = stack_of(kinds, BASE, noise)
    walked(box, rows)
    assert rows.walk(replace(box, stack=box.stack[: 8 * int(len(box.stack) // 8 * share)])).stack is None
    assert rows.walk(replace(box, missing=((0, len(box.stack)),))).stack is None


def test_the_known_steps_are_counted() -> None:
    """A walker need not tell them again."""
    noise, rows = random.Random(1), Rows()
    walked(stack_of([BY_SP, SAVES], BASE, noise), rows)
    attempt = rows.walk(stack_of([BY_SP, SAVES, BY_SP], BASE, noise))
    assert (attempt.steps, attempt.stack) == (2, None)


def test_words_of_an_interpreter_and_other_times_are_left_to_a_walker() -> None:
    """A row says nothing of them."""
    noise, rows = random.Random(1), Rows()
    box = stack_of([BY_SP], BASE, noise)
    stack = walked(box)
    told = [StepRow(box.pc, 0, 1, KIND_ROWS[BY_SP]), StepRow(END, 1, 2, FIRST_FRAME)]
    rows.learn(told, stack, 40, 60)
    assert rows.walk(replace(box, ns=50)).stack == stack
    others = [replace(box, ns=39), replace(box, ns=61), replace(box, ns=50, words=((1, 2),), language=1)]
    assert [rows.walk(other).steps for other in others] == [0, 0, 0]
    rows.forget()
    assert rows.walk(replace(box, ns=50)).steps == 0


def test_a_register_that_is_not_known_is_not_guessed() -> None:
    """Neither one that could not be had, nor one that a caller does not get back."""
    noise = random.Random(1)
    box = stack_of([BY_SP, BY_BP], BASE, noise)
    for changed, first in ((replace(box, unknown=frozenset({RBP})), ()), (box, (RBP,))):
        rows = Rows()
        walked(box, rows)
        rows.learn([StepRow(box.pc, 0, 0, Row(RSP, 32, -8, 0, (), first))], Stack((), True), 0, 1 << 62)
        assert rows.walk(changed).steps == 1


def test_rows_that_claim_too_many_frames_give_no_stack() -> None:
    """They are a worker's words: a stack from rows is no larger than one that a worker may tell."""
    noise, rows = random.Random(1), Rows()
    box = stack_of([BY_SP] * 70, BASE, noise)
    many = walked(box, rows)
    told = Stack((many.frames[0],) * MAX_FRAMES, True)
    rows.learn([StepRow(box.pc, 0, MAX_FRAMES, KIND_ROWS[BY_SP])], told, 0, 1 << 62)
    rows.learn([StepRow(BY_SP + at, 0, MAX_FRAMES, KIND_ROWS[BY_SP]) for at in range(71)], told, 0, 1 << 62)
    assert rows.walk(box).stack is None


PLAIN = Rule(0, 9, RegisterPlus(RSP, 48), ((3, -24), (RBP, -16), (16, -8)), ((RSP, 8),), ((12, 12),), (), 16, False)


def test_the_row_of_a_rule() -> None:
    """What is neither saved nor stays is lost."""
    assert PLAIN.row == Row(RSP, 48, -8, 8, ((3, -24), (RBP, -16)), (13, 14, 15))


@pytest.mark.parametrize(
    "rule",
    [
        replace(PLAIN, cfa=Expression((), True)),
        replace(PLAIN, cfa=RegisterPlus(10, 8)),
        replace(PLAIN, expressions=((3, Expression((), False)),)),
        replace(PLAIN, signal=True),
        replace(PLAIN, return_register=3),
        replace(PLAIN, copies=((12, 13),)),
        replace(PLAIN, values=()),
        replace(PLAIN, saved=((3, -24),)),
        replace(PLAIN, saved=((RSP, -24), (16, -8)), values=()),
    ],
)
def test_a_rule_that_is_more_than_numbers_has_no_row(rule: Rule) -> None:
    """A walker applies it."""
    assert rule.row is None
