"""A remembered stack must be equal to the result of a walk. If not, no stack may be found."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.present import present
from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import CopyEnds, Cursor, Memory, MemoryUnreadable, Step
from tracer.stacks.memo import Memo
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.walk import walk
from tracer.stacks.witness import Basis, ReadLog, Witness

END, BY_SP, BY_BP, SAVES = 0x1000, 0x2000, 0x3000, 0x4000


class Code:
    """Four kinds of functions, by pc.

    They are: the first frame; a frame of 4 words with the return address on top; the same, but found through rbp; like
    the second, but with rbp saved below the return address.
    """

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        kind, frames = cursor.pc & ~0xFFF, (Frame(hex(cursor.pc), None, pc=cursor.pc),)
        if kind == END:
            return Step(frames, None, complete=True)
        registers = list(cursor.registers)
        top = cursor.sp + 32 if kind in (BY_SP, SAVES) else (cursor.bp or 0) + 16
        try:
            registers[16], registers[7] = memory.stack_word(top - 8, 8), top
            if kind in (BY_BP, SAVES):
                registers[6] = memory.stack_word(top - 16, 8)
        except CopyEnds as reason:
            return Step(frames, None, stop=str(reason), copy_ends=True)
        return Step(frames, Cursor(tuple(registers), True))


class NoProcess:
    """A process that is not there: no mapping, no memory."""

    def mapping(self, _address: int) -> None:
        return None

    def read(self, address: int, size: int) -> bytes:
        raise MemoryUnreadable(f"{size} bytes at {address:#x}")


def stack_of(kinds: list[int], base: int, noise: random.Random) -> BlackBox:
    """A box with frames of these ``kinds``, innermost first. All words that do not matter are random."""
    words: list[int] = []
    pcs = [kind + index for index, kind in enumerate(kinds)] + [END]
    bases: dict[int, int] = {}
    for index, kind in enumerate(kinds):
        extra = 0 if kind != BY_BP else (pcs[index] % 3)  # alloca: only rbp tells the size
        words += [noise.getrandbits(63) for _ in range(2 + extra)]
        bases[index] = len(words)
        words += [noise.getrandbits(63), pcs[index + 1]]
    bp_of = [base + 8 * bases[i] if kinds[i] == BY_BP else None for i in range(len(kinds))]
    holder: Optional[int] = None  # the slot with the rbp of the inner frames; None: it is still in the register
    first = noise.getrandbits(63)
    for index, kind in enumerate(kinds):
        if kind == BY_BP and bp_of[index] is not None:
            if holder is None:
                first = bp_of[index] or 0
            else:
                words[holder] = bp_of[index] or 0
        if kind in (BY_BP, SAVES):
            holder = bases[index]
    registers = [0] * 17
    registers[6], registers[7], registers[16] = first, base, pcs[0]
    return BlackBox(1, 1, tuple(registers), struct.pack(f"<{len(words)}Q", *words), cut=False)


def walked(box: BlackBox, memo: Optional[Memo] = None) -> Stack:
    code = Code()
    recorder = ReadLog(BoxMemory(box, NoProcess()), box)
    witness = Witness([code], code, recorder, box)
    stack = walk(box, recorder, [witness])
    if memo is not None and (stack.complete or witness.copy_ends):
        memo.keep(box, present(witness.rests()), stack)
    return stack


KINDS = st.lists(st.sampled_from([BY_SP, BY_BP, SAVES]), min_size=1, max_size=12)


@given(KINDS, st.integers(0, 1 << 30))
def test_same_path_is_recognised_elsewhere(kinds: list[int], seed: int) -> None:
    """The same path is recognised with other locals, other saved data, and a stack at another address."""
    noise, memo = random.Random(seed), Memo()
    first = walked(stack_of(kinds, 0x7F0000001000, noise), memo)
    assert first.complete
    again = stack_of(kinds, 0x7F0000777770, noise)
    assert walked(again) == first
    assert memo.find(again) is first


@given(KINDS, KINDS, st.integers(0, 1 << 30))
def test_found_is_what_a_walk_gives(kinds: list[int], others: list[int], seed: int) -> None:
    """If a stack is found for the box of another path, a walk of that box gives the same stack."""
    noise, memo = random.Random(seed), Memo()
    walked(stack_of(kinds, 0x7F0000001000, noise), memo)
    other = stack_of(others, 0x7F0000002000, noise)
    found = memo.find(other)
    assert found is None or found == walked(other)


@given(KINDS, st.integers(0, 1 << 30), st.data())
def test_a_changed_word_never_gives_a_wrong_stack(kinds: list[int], seed: int, data: st.DataObject) -> None:
    """One word is overwritten. Then no stack is found, or the one that a walk of the changed box gives."""
    noise, memo = random.Random(seed), Memo()
    box = stack_of(kinds, 0x7F0000001000, noise)
    walked(box, memo)
    at = 8 * data.draw(st.integers(0, len(box.stack) // 8 - 1))
    word = data.draw(st.sampled_from([0, END, BY_SP + 1, 0x7F0000001000 + 8, noise.getrandbits(63)]))
    changed = replace(box, stack=box.stack[:at] + struct.pack("<Q", word) + box.stack[at + 8 :])
    found = memo.find(changed)
    assert found is None or found == walked(changed)


def test_paths_of_many_shapes_are_recognised_step_by_step() -> None:
    """Sixty paths from one place, each of another shape: all are recognised, long after shapes were given up."""
    noise, memo = random.Random(1), Memo()
    paths = [[SAVES, *(BY_BP if number >> bit & 1 else SAVES for bit in range(6))] for number in range(60)]
    known = [walked(stack_of(kinds, 0x7F0000001000, noise), memo) for kinds in paths]
    for turn in range(10):
        for kinds, stack in zip(paths, known):
            assert memo.find(stack_of(kinds, 0x7F0000002000 + 64 * turn, noise)) is stack
    assert not any(shapes.pay for shapes in memo._shapes.values())


def test_paths_of_one_shape_keep_it() -> None:
    """A hundred paths whose frames have the same sizes: that each was new once is no reason to give their shape up."""
    noise, memo = random.Random(1), Memo()
    for number in range(100):
        walked(stack_of([SAVES, SAVES + 0x10 * (number + 1), SAVES], 0x7F0000001000, noise), memo)
        assert memo.find(stack_of([SAVES, SAVES + 0x10 * (number + 2), SAVES], 0x7F0000001000, noise)) is None
    assert all(shapes.pay for shapes in memo._shapes.values())


def cut_to(box: BlackBox, share: float) -> BlackBox:
    """The box with only the first words of its stack."""
    return replace(box, stack=box.stack[: 8 * int(len(box.stack) // 8 * share)], cut=True)


SHARE = st.floats(0, 0.99)


@given(KINDS, SHARE, st.integers(0, 1 << 30))
def test_a_cut_path_is_recognised_elsewhere(kinds: list[int], share: float, seed: int) -> None:
    """The same path, cut at the same place, is recognised with other locals and at another address."""
    noise, memo = random.Random(seed), Memo()
    first = walked(cut_to(stack_of(kinds, 0x7F0000001000, noise), share), memo)
    again = cut_to(stack_of(kinds, 0x7F0000777770, noise), share)
    assert not first.complete
    assert memo.find(again) is first
    assert walked(again) == first


@given(KINDS, KINDS, SHARE, SHARE, st.integers(0, 1 << 30))
def test_found_by_a_cut_path_is_what_a_walk_gives(
    kinds: list[int], others: list[int], share: float, other_share: float, seed: int
) -> None:
    """Whatever was cut elsewhere, or is another path: what is found is what its own walk gives."""
    noise, memo = random.Random(seed), Memo()
    walked(cut_to(stack_of(kinds, 0x7F0000001000, noise), share), memo)
    for other in (stack_of(others, 0x7F0000002000, noise), stack_of(kinds, 0x7F0000002000, noise)):
        cut = cut_to(other, other_share)
        for box in (other, cut, replace(cut, cut=False), replace(cut, cramped=True)):
            found = memo.find(box)
            assert found is None or found == walked(box)


@given(KINDS, SHARE, st.integers(0, 1 << 30), st.data())
def test_a_changed_word_never_gives_a_wrong_cut_stack(
    kinds: list[int], share: float, seed: int, data: st.DataObject
) -> None:
    """A word or the frame pointer is overwritten, a part is not in memory: the stack of a walk is found, or none."""
    noise, memo = random.Random(seed), Memo()
    box = cut_to(stack_of(kinds, 0x7F0000001000, noise), share)
    walked(box, memo)
    word = data.draw(st.sampled_from([0, END, BY_SP + 1, 0x7F0000001000 + 8, 0x7F0000001F00, noise.getrandbits(63)]))
    registers = (*box.registers[:6], word, *box.registers[7:])
    changes = [replace(box, registers=registers)]
    if box.stack:
        at = 8 * data.draw(st.integers(0, len(box.stack) // 8 - 1))
        changes.append(replace(box, stack=box.stack[:at] + struct.pack("<Q", word) + box.stack[at + 8 :]))
        changes.append(replace(box, missing=((at, at + 8),)))
    for changed in changes:
        found = memo.find(changed)
        assert found is None or found == walked(changed)


def test_forgets() -> None:
    """After forget() no stack is known."""
    memo = Memo()
    box = stack_of([BY_SP], 0x7F0000001000, random.Random(1))
    walked(box, memo)
    assert memo.find(box) is not None
    memo.forget()
    assert memo.find(box) is None


@pytest.mark.parametrize("length", [0, 8, 24])
def test_short_copies_do_not_match(length: int) -> None:
    """A copy of the stack without all the words that matter is not recognised."""
    memo = Memo()
    box = stack_of([BY_SP], 0x7F0000001000, random.Random(1))
    walked(box, memo)
    assert memo.find(replace(box, stack=box.stack[:length])) is None


def test_hundreds_of_paths_are_all_known() -> None:
    """Several hundred paths start with the same call. Each is recognised and gives its own stack."""
    noise, memo = random.Random(2), Memo()
    paths = [[BY_SP, *noise.choices([BY_SP, BY_BP, SAVES], k=9)] for _ in range(400)]
    first = [walked(stack_of(path, 0x7F0000001000, noise), memo) for path in paths]
    for path, stack in zip(paths, first):
        found = memo.find(stack_of(path, 0x7F0000888880, noise))
        assert found == stack


@given(KINDS, st.integers(0, 1 << 30), st.data())
def test_what_was_not_in_memory_is_never_recognised(kinds: list[int], seed: int, data: st.DataObject) -> None:
    """A box that lacks a part is recognised only if no step rests on that part."""
    noise, memo = random.Random(seed), Memo()
    box = stack_of(kinds, 0x7F0000001000, noise)
    first = walked(box, memo)
    at = data.draw(st.integers(0, len(box.stack) // 8 - 1)) * 8
    holes = replace(box, stack=box.stack[:at] + bytes(8) + box.stack[at + 8 :], missing=((at, at + 8),))
    callers = [kind + index for index, kind in enumerate(kinds)] + [END]
    if int.from_bytes(box.stack[at : at + 8], "little") in callers:
        assert memo.find(holes) is None
    assert memo.find(holes) in (None, first)


@given(KINDS, st.integers(0, 1 << 30))
def test_zeroes_of_missing_memory_are_no_zeroes(kinds: list[int], seed: int) -> None:
    """A walk that rests on zeroes is not that of a box in which these words are missing."""
    noise, memo = random.Random(seed), Memo()
    box = stack_of(kinds, 0x7F0000001000, noise)
    callers = [struct.pack("<Q", kind + index) for index, kind in enumerate(kinds)]
    words = [box.stack[at : at + 8] for at in range(0, len(box.stack), 8)]
    zeroed = replace(box, stack=b"".join(bytes(8) if word in callers else word for word in words))
    step = Basis(exact={box.sp + at * 8: 0 for at, word in enumerate(words) if word in callers})
    witness = Witness([], Code(), ReadLog(BoxMemory(zeroed, NoProcess()), zeroed), zeroed)
    witness.steps.append(step)
    stack = Stack((), True)
    memo.keep(zeroed, present(witness.rests()), stack)
    assert memo.find(zeroed) is stack
    assert memo.find(replace(zeroed, missing=((0, len(box.stack)),))) is (None if step.exact else stack)


def test_a_stack_with_a_gap_is_not_kept() -> None:
    """What lies behind the gap has no fixed place."""
    noise, memo = random.Random(1), Memo()
    box = stack_of([BY_SP, BY_SP], 0x7F0000001000, noise)
    split = replace(box, stack=box.stack[:32], far=box.stack[32:], far_offset=32)
    assert walked(split, memo) == walked(box)
    assert memo.find(split) is None


def with_words(box: BlackBox, *words: tuple[int, int]) -> BlackBox:
    return replace(box, words=words, words_end=WordsEnd.COMPLETE, language=1, ns=50)


def test_words_of_an_interpreter_must_be_equal() -> None:
    """Another function, another place in it, one frame more, another end: not the same stack."""
    memo, box = Memo(), stack_of([BY_SP, BY_SP], 0x7F0000001000, random.Random(4))
    known = with_words(box, (0xC0DE, 6), (0xC1DE, 8))
    stack = walked(known, memo)
    assert memo.find(known) is stack
    assert memo.find(with_words(box, (0xC0DE, 6), (0xC1DE, 10))) is None
    assert memo.find(with_words(box, (0xC0DE, 6), (0xC2DE, 8))) is None
    assert memo.find(with_words(box, (0xC0DE, 6))) is None
    assert memo.find(replace(known, words_end=WordsEnd.LIMIT)) is None
    assert memo.find(replace(known, words=())) is None


def test_words_that_are_addresses_in_the_stack_move_with_it() -> None:
    """Another thread's stack lies elsewhere."""
    memo, noise = Memo(), random.Random(5)
    box, other = (stack_of([BY_SP, BY_SP], base, noise) for base in (0x7F0000001000, 0x7F0000777770))
    stack = walked(with_words(box, (0xC0DE, 6), (box.sp + 40, 7)), memo)
    assert memo.find(with_words(other, (0xC0DE, 6), (other.sp + 40, 7))) is stack
    assert memo.find(with_words(other, (0xC0DE, 6), (other.sp + 48, 7))) is None
    assert memo.find(with_words(other, (0xC0DE, 6), (box.sp + 40, 7))) is None


@pytest.mark.parametrize(("ns", "is_known"), [(39, False), (40, True), (60, True), (61, False)])
def test_a_stack_is_known_for_touches_of_its_time_only(ns: int, is_known: bool) -> None:
    """Before and after, the same words may have had other names."""
    memo, box = Memo(), stack_of([BY_SP], 0x7F0000001000, random.Random(6))
    code = Code()
    recorder = ReadLog(BoxMemory(box, NoProcess()), box)
    witness = Witness([code], code, recorder, box)
    stack = walk(box, recorder, [witness])
    memo.keep(box, present(witness.rests()).within(40, 70).within(0, 60), stack)
    assert memo.find(replace(box, ns=ns)) is (stack if is_known else None)
