"""Records what a walk of a stack depends on, step by step: words of the copied stack, and registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from tracer.machine.registers import PRESERVED
from tracer.model.frame import BlackBox
from tracer.stacks.chain import Cursor, Memory, Row, Step, Unwinder

_FARTHEST = 1 << 30
"""Bytes from a stack's top to anything that is still on it."""
_FIRST = -1  # as a register's origin: it still has its value from the touch
ALWAYS_NS = (1 << 63) - 1
"""After all touches."""


@dataclass(frozen=True)
class Read:
    """A read of the copied stack during one step."""

    address: int
    size: int
    value: int


class ReadLog:
    """The target's memory. It records all reads of the copied stack. Implements :class:`Memory`."""

    def __init__(self, memory: Memory, box: BlackBox) -> None:
        self._memory = memory
        self._low, self._high = box.sp, box.sp + len(box.stack)
        self.reads: list[Read] = []

    def _note(self, address: int, size: int, value: int) -> None:
        if self._low <= address < self._high:
            self.reads.append(Read(address, size, value))

    def read(self, address: int, size: int) -> bytes:
        """As the memory itself."""
        data = self._memory.read(address, size)
        self._note(address, size, int.from_bytes(data, "little"))
        return data

    def u64(self, address: int) -> int:
        """As the memory itself."""
        value = self._memory.u64(address)
        self._note(address, 8, value)
        return value

    def stack_word(self, address: int, size: int) -> int:
        """As the memory itself."""
        value = self._memory.stack_word(address, size)
        self._note(address, size, value)
        return value


@dataclass
class Basis:
    """What one step depends on. ``exact`` and ``relative`` are words by address, ``registers`` are by DWARF number.

    In another black box ``exact`` must be equal; the others must be equal after subtracting sp.
    """

    exact: dict[int, int] = field(default_factory=dict)
    relative: dict[int, int] = field(default_factory=dict)
    registers: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rests:
    """What a whole walk rests on, step by step. ``generated``: code that no file backs is part of it.

    ``is_cut``: it ended where the copy of the stack ends. It holds for touches from ``since_ns`` to ``until_ns``
    (CLOCK_MONOTONIC).
    """

    steps: tuple[Basis, ...]
    generated: bool
    is_cut: bool = False
    since_ns: int = 0
    until_ns: int = ALWAYS_NS

    def within(self, since_ns: int, until_ns: int) -> Rests:
        """The same, for touches of a shorter time."""
        return replace(self, since_ns=max(self.since_ns, since_ns), until_ns=min(self.until_ns, until_ns))


class Witness:
    """The links of a chain as one link. It records what the walk depends on. Implements :class:`Unwinder`."""

    def __init__(self, chain: Sequence[Unwinder], stable: Unwinder, recorder: ReadLog, box: BlackBox) -> None:
        self._chain, self._stable, self._recorder, self._box = chain, stable, recorder, box
        self._origins: dict[int, set[int]] = {register: {_FIRST} for register in PRESERVED}
        self.steps: list[Basis] = []
        self.usable = True
        self.generated = False
        self.copy_ends = False
        """The walk ended where the copy ends."""
        self.rows: list[tuple[int, int, Optional[Row]]] = []
        """For each step: where it began (a return address), how many frames it gave, and its row if it has one."""

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step with the first link that handles the code."""
        for link in self._chain:
            self._recorder.reads.clear()
            step = link.step(cursor, memory)
            if step is not None:
                self.generated = self.generated or link is not self._stable
                self.copy_ends = step.copy_ends
                self.steps.append(Basis())
                self.rows.append((cursor.pc, len(step.frames), step.row if cursor.is_return else None))
                self._observe(cursor, step)
                return step
        return None

    def rests(self) -> Optional[Rests]:
        """What the walk rests on; None if that cannot be told."""
        return Rests(tuple(self.steps), self.generated, self.copy_ends) if self.usable else None

    def _observe(self, cursor: Cursor, step: Step) -> None:
        caller = step.caller
        top = caller.sp if caller is not None else self._box.sp + len(self._box.stack)
        if step.copy_ends:
            top = self._box.sp + _FARTHEST  # the place that was looked for lies behind the copy
        for register in PRESERVED:
            value = cursor.registers[register]
            if value is not None and cursor.sp <= value <= top:
                self._rests_on(register, value)
        saved = {value for r in PRESERVED if caller is not None and (value := caller.registers[r]) is not None}
        for read in self._recorder.reads:
            self._classify(read, cursor.sp, top, saved, caller)
        if caller is not None:
            self._inherit(cursor, caller)

    def _classify(self, read: Read, low: int, top: int, saved: set[int], caller: Optional[Cursor]) -> None:
        if read.size != 8:
            self.usable = False
        elif caller is not None and read.value == caller.pc:
            self.steps[-1].exact[read.address] = read.value
        elif low <= read.value <= top:
            self.steps[-1].relative[read.address] = read.value
        elif read.value not in saved:
            self.steps[-1].exact[read.address] = read.value

    def _rests_on(self, register: int, value: int) -> None:
        """Note that the place of a frame may come from this register: the step depends on each origin of its value."""
        places = self._origins[register]
        self.usable = self.usable and bool(places)
        for address in places:
            if address == _FIRST:
                self.steps[-1].registers[register] = value
            else:
                self.steps[-1].relative[address] = value

    def _inherit(self, cursor: Cursor, caller: Cursor) -> None:
        """Find where the caller's registers came from. All places with the same value count as origins."""
        for register in PRESERVED:
            value = caller.registers[register]
            found = {read.address for read in self._recorder.reads if read.value == value}
            self._origins[register] = found | (
                self._origins[register] if cursor.registers[register] == value else set()
            )
