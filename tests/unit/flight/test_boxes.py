"""What a box says is missing of its stack, as addresses; and what can be read of such a stack."""

from __future__ import annotations

import random
import struct
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.flight import layout
from tracer.flight.boxes import with_holes, with_words
from tracer.kernel.source import FAR_SHARE, PAGE
from tracer.model.frame import BlackBox, WordsEnd
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.target.memory import BoxMemory

TOP = 0x7FFE00000000


class NoProcess:
    """A process whose maps are not known: what lies above the stack pointer is the stack."""

    def mapping(self, _address: int) -> None:
        return None


def memory_of(box: BlackBox) -> BoxMemory:
    return BoxMemory(box, NoProcess())  # type: ignore[arg-type]


class Stack:
    """A stack of ``size`` bytes below TOP, without some of its pages, and bpf/blackbox.h's copy of it."""

    def __init__(self, size: int, absent: set[int], seed: int) -> None:
        self.sp, self.absent = TOP - size, absent
        self.bytes = random.Random(seed).randbytes(size)

    def read(self, address: int, size: int) -> Optional[bytes]:
        """These bytes; None if one of their pages is absent, counted downwards from TOP."""
        if any((TOP - 1 - at) // PAGE in self.absent for at in (address, address + size - 1)):
            return None
        return self.bytes[address - self.sp : address - self.sp + size]

    def _by_pages(self, address: int, size: int) -> tuple[bytes, int]:
        copied, missing, bit = b"", 0, 0
        while len(copied) < size:
            at = address + len(copied)
            step = min(PAGE - at % PAGE, size - len(copied))
            found = self.read(at, step)
            missing |= (found is None) << bit
            copied, bit = copied + (found or bytes(step)), bit + 1
        return copied, missing

    def copy(self, pages: int, words: Optional[Words] = None) -> BlackBox:
        """As ct_copy_stack, whatever is in memory; with ``words`` in their place."""
        room = layout.WORDS_BYTES if words is not None else 0
        size, most = TOP - self.sp, pages * PAGE - room
        far = pages // FAR_SHARE * PAGE if size > most else 0
        near, missing = self._by_pages(self.sp, min(size, most - far))
        last = b""
        if far:
            last, more = self._by_pages(TOP - far, far)
            missing |= more << (pages - far // PAGE) + 1
        registers = (0,) * 7 + (self.sp,) + (0,) * 9
        gap = size - most if far else 0
        box = BlackBox(1, 1, registers, near + last, cut=len(near + last) == most)
        if words is not None:
            area = near.ljust(pages * PAGE - room - far, b"\x55") + packed(words) + last
            box = with_words(box, area, 1, (len(words), WordsEnd.COMPLETE), gap)
        return with_holes(box, missing, gap, room)


Words = tuple[tuple[int, int], ...]


def packed(words: Words) -> bytes:
    return b"".join(struct.pack("<QQ", *pair) for pair in words).ljust(layout.WORDS_BYTES, b"\x77")


@given(
    st.integers(8, 20 * PAGE),
    st.sets(st.integers(0, 21), max_size=6),
    st.integers(0, 99),
    st.sampled_from([1, 4, 8]),
    st.sampled_from([None, (), ((1, 2), (3, 1 << 63))]),
)
def test_what_is_read_is_what_was_there(
    size: int, absent: set[int], seed: int, pages: int, words: Optional[Words]
) -> None:
    """Every word that can be read is the stack's own; what was in memory and has room in the box can be read.

    The words of an interpreter's frames come as they were written.
    """
    stack = Stack(size, absent, seed)
    box = stack.copy(pages, words)
    room = 0 if words is None else layout.WORDS_BYTES
    assert (box.words, box.language) == (words or (), int(words is not None))
    memory = memory_of(box)
    far = pages // FAR_SHARE * PAGE if size > pages * PAGE - room else 0
    for address in range(stack.sp, TOP - 7, 256):
        there = stack.read(address, 8)
        try:
            word = memory.stack_word(address, 8)
        except MemoryUnreadable:
            in_near = address + 8 <= stack.sp + pages * PAGE - room - far
            assert there is None or not (in_near or address >= TOP - far)
            continue
        assert there is not None
        assert word == int.from_bytes(there, "little") == memory.u64(address)


def test_each_reason_is_its_own() -> None:
    """A missing page, the gap, the end of a box without a gap, and what lies outside are told apart."""
    sparse = memory_of(Stack(3 * PAGE, {1}, 0).copy(4))
    with pytest.raises(MemoryUnreadable, match="this part of the stack was not in memory when it was copied"):
        sparse.stack_word(TOP - PAGE - 8, 8)
    with pytest.raises(MemoryUnreadable, match="was not in memory"):
        sparse.read(TOP - PAGE - 4, 8)
    gap = memory_of(Stack(9 * PAGE, set(), 0).copy(4))
    with pytest.raises(MemoryUnreadable, match=r"stack deeper than the 16 KiB that were copied \(raise"):
        gap.stack_word(TOP - 2 * PAGE, 8)
    with pytest.raises(MemoryUnreadable, match="on memory that was not copied"):
        gap.stack_word(TOP, 8)
    ends = memory_of(Stack(3 * PAGE, {0, 1}, 0).copy(4))
    with pytest.raises(MemoryUnreadable, match="the rest of the stack was not in memory"):
        ends.stack_word(TOP - PAGE, 8)


def test_missing_pages_at_the_end_are_no_part_of_the_stack() -> None:
    """So a box that is full of them is not called cut."""
    box = Stack(5 * PAGE, {1, 2}, 0).copy(1)
    assert (len(box.stack), box.cut, box.missing) == (PAGE, True, ())
    box = Stack(4 * PAGE, {0, 1}, 0).copy(4)
    assert (len(box.stack), box.cut, box.missing) == (2 * PAGE, False, ())
    assert Stack(2 * PAGE, {0, 1}, 0).copy(4).stack == b""


def test_words_that_were_not_told_yet() -> None:
    """A box that waits for its words has none; a number that no kernel side writes is none either."""
    box = Stack(PAGE, set(), 0).copy(1)
    for frames, end in ((layout.FRAMES_PENDING, 0), (layout.MOST_FRAMES + 1, 1), (0, 250)):
        told = with_words(box, bytes(2 * PAGE), 2, (frames, end), 0)
        assert (told.words, told.words_end, told.language) == ((), WordsEnd.NONE, 2)
