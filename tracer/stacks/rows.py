"""Walks a stack of code that earlier walks have met, without asking a walker: by numbers alone.

A compiled program has few places at which it calls, and many ways through them. What a walk needs of each place is a
:class:`tracer.stacks.chain.Row`: where the frame ends, and what it saved. With the rows of all places a stack that was
never met before is walked by sums, and words of the copied stack. Nothing of the program's files is read.

That holds where no runtime has its say: compiled code of files, in a process without an interpreter or a JIT.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import NamedTuple, Optional

from tracer.machine.registers import RSP
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.stacks.chain import Row
from tracer.stacks.memo import veiled
from tracer.stacks.walk import MAX_FRAMES, MOST_WITH_INLINED
from tracer.stacks.witness import ALWAYS_NS, Basis, Rests

_MOST_ROWS = 20_000
_WORD = struct.Struct("<Q").unpack_from
_LOST = -1  # as the place of a register: its value is not known


class StepRow(NamedTuple):
    """The row of a step from the return address ``pc``, which gave the frames ``first`` to ``end`` of its stack."""

    pc: int
    first: int
    end: int
    row: Row


class Attempt(NamedTuple):
    """How far a walk came: after ``steps`` steps it met the first place that is not known.

    With ``stack`` it came to the thread's first frame; ``rests`` is what it rests on.
    """

    steps: int
    stack: Optional[Stack] = None
    rests: Optional[Rests] = None


_Known = tuple[tuple[Frame, ...], Row]
"""The frames of a place, and its row."""


class Rows:
    """The rows of one process. Call :meth:`forget` when its maps change."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._since_ns, self._until_ns = 0, ALWAYS_NS

    def forget(self) -> None:
        """Drop all rows."""
        self._known.clear()

    def learn(self, rows: Sequence[StepRow], stack: Stack, since_ns: int, until_ns: int) -> None:
        """Keep ``rows`` of a walk that gave ``stack``.

        They hold for touches of this time (CLOCK_MONOTONIC). Those of another time are dropped.
        """
        if (since_ns, until_ns) != (self._since_ns, self._until_ns) or len(self._known) > _MOST_ROWS:
            self._known.clear()
        self._since_ns, self._until_ns = since_ns, until_ns
        self._known.update((pc, (stack.frames[first:end], row)) for pc, first, end, row in rows)

    def walk(self, box: BlackBox) -> Attempt:
        """Walk ``box`` as far as rows are known. Where anything is unusual it ends: a walker says what it is."""
        ns = box.ns if box.ns is not None else time.monotonic_ns()
        if not self._known or box.words or box.language or not self._since_ns <= ns <= self._until_ns:
            return Attempt(0)
        return _Walk(box).through(self._known)


class _Unusual(Exception):
    """A word outside of the copied stack, or a register whose value is not known."""


class _Walk:
    """One walk. ``_places`` are addresses at which registers lie by now; those that are not there were not moved."""

    def __init__(self, box: BlackBox) -> None:
        self._box, self._stack, self._low = box, veiled(box), box.sp
        self._places: dict[int, int] = dict.fromkeys(box.unknown, _LOST)
        self._frames: list[Frame] = []
        self._steps: list[Basis] = []

    def through(self, known: dict[int, _Known]) -> Attempt:
        pc, sp = self._box.pc, self._low
        for count in range(MAX_FRAMES):
            found = known.get(pc)
            if found is None:
                return Attempt(count)
            frames, row = found
            self._frames += frames
            if len(self._frames) > MOST_WITH_INLINED:  # rows come from a worker: each may claim many frames
                return Attempt(count)
            if row.register < 0:
                self._steps.append(Basis())
                return Attempt(count + 1, Stack(tuple(self._frames), True), Rests(tuple(self._steps), False))
            try:
                pc, caller_sp = self._step(row, sp)
            except _Unusual:
                return Attempt(count)
            if not pc or caller_sp <= sp:
                return Attempt(count)
            sp = caller_sp
        return Attempt(MAX_FRAMES)

    def _step(self, row: Row, sp: int) -> tuple[int, int]:
        """Return address and stack pointer of the caller. Raises _Unusual."""
        register, offset, returns, above, saved, lost = row
        basis = Basis()
        end = (sp if register == RSP else self._value(register, basis)) + offset
        pc = basis.exact[end + returns] = self._word(end + returns)
        self._steps.append(basis)
        for number, place in saved:
            self._places[number] = end + place
        for number in lost:
            self._places[number] = _LOST
        return pc, end + above

    def _value(self, register: int, basis: Basis) -> int:
        """What a register holds by now, on which the step depends."""
        place = self._places.get(register)
        if place is None:
            value = basis.registers[register] = self._box.registers[register]
        else:
            value = basis.relative[place] = self._word(place)
        return value

    def _word(self, address: int) -> int:
        at = address - self._low
        if not 0 <= at <= len(self._stack) - 8:
            raise _Unusual
        return int(_WORD(self._stack, at)[0])
