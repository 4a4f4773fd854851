"""Recognises a stack that was unwound before, by the words that the walk rested on, without walking it again.

Thousands of sockets are left by few code paths. A walk is decided by its first registers, by the code, and by the words
that it read: return addresses and what an interpreter left must be the same in another black box; saved registers only
where the walk then took a frame's place from them, and there relative to sp, for stacks lie at different addresses.
All other words (locals, saved registers that hold data) may differ. So a match is as good as a walk.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from tracer.model.frame import BlackBox, Stack
from tracer.stacks.chain import Cursor, Memory, Step, Unwinder

_SP, _PC = 7, 16
_SAVED = (3, 6, 12, 13, 14, 15)  # rbx, rbp, r12..r15: what a callee preserves (psABI, figure 3.4)
_MAX_SHAPES, _MAX_STACKS = 64, 16_384
_FIRST = -1  # as a register's origin: it is as it was at the touch
GENERATED_CODE_S = 1.0
"""How long stacks with generated code are known: what lies at its addresses changes without a change of the maps."""


@dataclass(frozen=True)
class Read:
    """A read of the copied stack during one step."""

    address: int
    size: int
    value: int


class Recorder:
    """The target's memory, noting what is read of the copied stack. Implements :class:`Memory`."""

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


class Witness:
    """A chain's links as one, gathering what the walk rests on. Implements :class:`Unwinder`."""

    def __init__(self, chain: Sequence[Unwinder], stable: Unwinder, recorder: Recorder, box: BlackBox) -> None:
        self._chain, self._stable, self._recorder, self._box = chain, stable, recorder, box
        self._origins: dict[int, set[int]] = {register: {_FIRST} for register in _SAVED}
        self.exact: dict[int, int] = {}
        self.relative: dict[int, int] = {}
        self.registers: dict[int, int] = {}
        self.usable = True
        self.generated = False

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        """Step by the first link that knows the code."""
        for link in self._chain:
            self._recorder.reads.clear()
            step = link.step(cursor, memory)
            if step is not None:
                self.generated = self.generated or link is not self._stable
                self._observe(cursor, step)
                return step
        return None

    def _observe(self, cursor: Cursor, step: Step) -> None:
        caller = step.caller
        top = caller.sp if caller is not None else self._box.sp + len(self._box.stack)
        for register in _SAVED:
            value = cursor.registers[register]
            if value is not None and cursor.sp <= value <= top:
                self._rests_on(register, value)
        saved = {value for r in _SAVED if caller is not None and (value := caller.registers[r]) is not None}
        for read in self._recorder.reads:
            self._classify(read, cursor.sp, top, saved, caller)
        if caller is not None:
            self._inherit(cursor, caller)

    def _classify(self, read: Read, low: int, top: int, saved: set[int], caller: Optional[Cursor]) -> None:
        if read.size != 8:
            self.usable = False
        elif caller is not None and read.value == caller.pc:
            self.exact[read.address] = read.value
        elif low <= read.value <= top:
            self.relative[read.address] = read.value
        elif read.value not in saved:
            self.exact[read.address] = read.value

    def _rests_on(self, register: int, value: int) -> None:
        """A frame's place may come from this register: then from wherever the register came."""
        places = self._origins[register]
        self.usable = self.usable and bool(places)
        for address in places:
            if address == _FIRST:
                self.registers[register] = value
            else:
                self.relative[address] = value

    def _inherit(self, cursor: Cursor, caller: Cursor) -> None:
        """Where the caller's registers came from. Of several places with the same value each may be it: all count."""
        for register in _SAVED:
            value = caller.registers[register]
            found = {read.address for read in self._recorder.reads if read.value == value}
            self._origins[register] = found | (
                self._origins[register] if cursor.registers[register] == value else set()
            )


@dataclass
class _Shape:
    """Where to look in a box, and the stacks known by what is found there. ``registers`` by DWARF number."""

    exact: struct.Struct
    relative: struct.Struct
    registers: tuple[int, ...]
    known: dict[tuple[object, ...], tuple[Stack, float]] = field(default_factory=dict)

    def key(self, box: BlackBox) -> Optional[tuple[object, ...]]:
        if len(box.stack) < self.exact.size or len(box.stack) < self.relative.size:
            return None
        sp = box.sp
        return (
            self.exact.unpack_from(box.stack),
            tuple([word - sp for word in self.relative.unpack_from(box.stack)]),
            tuple([box.registers[register] - sp for register in self.registers]),
        )


class Memo:
    """The stacks of one process that are known, until :meth:`forget`: to be called when its maps change."""

    def __init__(self) -> None:
        self._shapes: dict[int, dict[tuple[object, ...], _Shape]] = {}
        self._count = 0

    def forget(self) -> None:
        """Know nothing."""
        self._shapes.clear()
        self._count = 0

    def find(self, box: BlackBox) -> Optional[Stack]:
        """The stack of ``box`` if one like it was walked to its end before."""
        for shape in self._shapes.get(box.pc, {}).values():
            key = shape.key(box)
            found = shape.known.get(key) if key is not None else None
            if found is not None and time.monotonic() < found[1]:
                return found[0]
        return None

    def keep(self, box: BlackBox, witness: Witness, stack: Stack) -> None:
        """Know ``stack``, which was walked under ``witness``; only whole ones, for others rest on what was missing."""
        if not stack.complete or not witness.usable:
            return
        if self._count >= _MAX_STACKS:
            self.forget()
        exact, relative = (tuple(sorted(a - box.sp for a in part)) for part in (witness.exact, witness.relative))
        layout = (exact, relative, tuple(sorted(witness.registers)))
        shapes = self._shapes.setdefault(box.pc, {})
        if layout not in shapes:
            if len(shapes) >= _MAX_SHAPES:
                shapes.pop(next(iter(shapes)))
            shapes[layout] = _Shape(_words(exact), _words(relative), layout[2])
        key = shapes[layout].key(box)
        if key is not None:
            until = time.monotonic() + GENERATED_CODE_S if witness.generated else float("inf")
            shapes[layout].known[key] = (stack, until)
            self._count += 1


def _words(offsets: Sequence[int]) -> struct.Struct:
    """The words at these offsets (bytes, ascending) of a stack. Overlapping ones are read by no ABI: none then."""
    parts, at = ["<"], 0
    for offset in offsets:
        if offset < at:
            return struct.Struct(f"<{1 << 24}x")  # longer than any box: never matches
        parts.append(f"{offset - at}xQ")
        at = offset + 8
    return struct.Struct("".join(parts))
