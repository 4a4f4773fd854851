"""Recognises a stack that was unwound before, without walking it again.

A few code paths leave thousands of sockets. The result of a walk depends on its first registers, on the code, and on
the words that it read. Another black box has the same stack if these are equal:

* return addresses, and the words that an interpreter left on the stack: exactly;
* saved registers from which the walk computed the place of a frame: relative to sp, because stacks lie at different
  addresses;
* the words of an interpreter's frames: exactly, and relative to sp those that are addresses in the copied stack.

The names that an interpreter's words lead to hold for a time only. So a stack may be known for touches of that time.

All other words (locals, saved registers that hold data) may differ. So a match is as good as a walk. A walk that ends
where the copied stack ends is recognised, too: in copies of the same size, and cut for the same reason.

The known walks are a tree with one level for each step. Paths that differ in one caller share everything before it.
Recognising a stack costs one look-up for each frame, however many paths are known. The latest shapes (walks whose
frames have the same sizes) are tried first, as a whole: one look-up for all frames.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional, Union

from tracer.machine.registers import PRESERVED
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.chain import Cursor, Memory, Row, Step, Unwinder

_MAX_WAYS, _MAX_SHAPES, _MAX_NODES = 16, 2, 65_536
_TRIED_IN_VAIN = 64
"""So many more times in vain than with success, and shapes are not tried any more."""
_FARTHEST = 1 << 30
"""Bytes from a stack's top to anything that is still on it."""
_VEIL = os.urandom(16)
_FIRST = -1  # as a register's origin: it still has its value from the touch
GENERATED_CODE_S = 1.0
"""How long a stack with generated code stays known. That code can change although the maps do not."""
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


_Key = tuple[Any, ...]
_Read = Callable[[bytes, int, Sequence[int]], _Key]
"""Reads what a step depends on, of a copied stack, its sp and its registers."""
_Offsets = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Where the words of a step lie (exact ones, then those relative to sp, bytes above sp), and its registers."""
_Place = tuple[_Read, _Offsets]
_Way = tuple[_Place, Union[tuple[_Key, "_Node"], dict[_Key, "_Node"]]]
"""A place, and the next node by the values found there: a pair where there is one, as mostly, for a dict is large."""


class _Node:
    """A point of known walks: the stack if they end here, else the ways on. Most points have one way.

    They have more only where the size of a frame varies.
    """

    __slots__ = ("since_ns", "stack", "until", "until_ns", "ways")

    def __init__(self) -> None:
        self.ways: tuple[_Way, ...] = ()
        self.stack: Optional[Stack] = None
        self.until = 0.0
        self.since_ns, self.until_ns = 0, ALWAYS_NS

    def holds(self, box: BlackBox) -> bool:
        """Whether the stack that ends here may be that of ``box``."""
        now = time.monotonic()
        ns = box.ns if box.ns is not None else int(now * 1e9)
        return now < self.until and self.since_ns <= ns <= self.until_ns

    def follow(self, stack: bytes, sp: int, registers: Sequence[int]) -> Optional[_Node]:
        """The next point in the walk of a box; None if it is not known."""
        for (read, _), following in self.ways:
            try:
                key = read(stack, sp, registers)
            except struct.error:  # the copy is shorter than that walk
                continue
            if isinstance(following, tuple):
                if following[0] == key:
                    return following[1]
            elif (found := following.get(key)) is not None:
                return found
        return None

    def grow(self, box: BlackBox, basis: Basis, most: int = _MAX_WAYS) -> tuple[_Node, bool]:
        """The next point after a step that depends on ``basis``, and whether it is new.

        From now on its way is tried first. At most ``most`` ways are kept.
        """
        sp, registers = box.sp, tuple(sorted(basis.registers))
        exact, relative = (tuple(sorted(a - sp for a in part)) for part in (basis.exact, basis.relative))
        place = _place((exact, relative, registers))
        mine = next((way for way in self.ways if way[0][1] == place[1]), None)
        others = [way for way in self.ways if way is not mine][: most - 1]
        key = place[0](box.stack, sp, box.registers)
        following = {} if mine is None else dict([mine[1]]) if isinstance(mine[1], tuple) else mine[1]
        node = following.get(key)
        new = node is None
        if node is None:
            node = following[key] = _Node()
        self.ways = ((place, following if len(following) > 1 else (key, node)), *others)
        return node, new


class _Shapes:
    """The latest shapes of walks from one start. They are given up where they are mostly tried in vain.

    A program with many paths has as many shapes. To try each of the latest ones takes longer then than to walk.
    """

    __slots__ = ("balance", "known")

    def __init__(self) -> None:
        self.known, self.balance = _Node(), 0

    @property
    def pay(self) -> bool:
        """Whether they were found often enough to be tried."""
        return self.balance > -_TRIED_IN_VAIN

    def find(self, box: BlackBox) -> Optional[_Node]:
        """The end of the walk of ``box``; None if its shape is not among them."""
        found = _end_of_walk(self.known, box)
        self.balance = min(self.balance + 1, _TRIED_IN_VAIN) if found is not None else self.balance - 1
        return found


class Memo:
    """The known stacks of one process. Call :meth:`forget` when its maps change."""

    def __init__(self) -> None:
        self._roots: dict[_Start, _Node] = {}
        self._shapes: dict[_Start, _Shapes] = {}
        self._cut: dict[Hashable, _Node] = {}
        """Walks to the end of the copy, by what that end depends on."""
        self.count = 0
        """Points of known walks."""

    def forget(self) -> None:
        """Drop all known stacks."""
        self._roots.clear()
        self._shapes.clear()
        self._cut.clear()
        self.count = 0

    def find(self, box: BlackBox) -> Optional[Stack]:
        """The stack of ``box`` if an equal one was walked to its end before, or to the end of the copy; else None."""
        start = _start(box)
        shapes = self._shapes.get(start)
        node = shapes.find(box) if shapes is not None and shapes.pay else None
        if node is None or not node.holds(box):
            node = _end_of_walk(self._roots.get(start), box)
        if node is not None and node.holds(box):
            return node.stack
        if self._cut and not box.missing and not box.far:
            node = _end_of_walk(self._cut.get(_end_of_copy(box)), box)
            if node is not None and node.holds(box):
                return node.stack
        return None

    def keep(self, box: BlackBox, rests: Rests, stack: Stack) -> None:
        """Keep ``stack``, whose walk rests on ``rests``.

        The stack of a box with a gap is not kept: what lies behind the gap has no fixed place.
        """
        if box.far or (box.missing and rests.is_cut):
            return
        if self.count >= _MAX_NODES:
            self.forget()
        until = time.monotonic() + GENERATED_CODE_S if rests.generated else float("inf")
        start = _start(box)
        try:
            if not rests.is_cut:
                ends = [self._grown(self._roots.setdefault(start, _Node()), box, rests)]
                shapes = self._shapes.setdefault(start, _Shapes())
                if shapes.pay:
                    shape, new = shapes.known.grow(box, _as_one(rests.steps), _MAX_SHAPES)
                    self.count += new
                    ends.append(shape)
            else:
                ends = [self._grown(self._cut.setdefault(_end_of_copy(box), _Node()), box, rests)]
        except struct.error:
            return
        for end in ends:
            end.stack, end.until = stack, until
            end.since_ns, end.until_ns = rests.since_ns, rests.until_ns

    def _grown(self, node: _Node, box: BlackBox, rests: Rests) -> _Node:
        """The end of this walk in the tree below ``node``."""
        for basis in rests.steps:
            node, new = node.grow(box, basis)
            self.count += new
        return node


_Start = tuple[int, tuple[tuple[int, int], ...]]


def _start(box: BlackBox) -> _Start:
    """Where the walk of ``box`` starts: its pc, and its words. Addresses in the copied stack are negative there."""
    if not box.words:
        return box.pc, ()
    low, high = box.sp, box.sp + max(len(box.stack), box.far_offset + len(box.far))
    words = tuple([(low - one - 1 if low <= one < high else one, other) for one, other in box.words])
    return box.pc, (*words, (box.language, box.words_end))


def _end_of_copy(box: BlackBox) -> Hashable:
    """Where a walk begins, and what the end of the copy depends on, with the words that the report has for it."""
    return _start(box), len(box.stack), box.cut, box.cramped, box.unknown


def _as_one(steps: Sequence[Basis]) -> Basis:
    """What a whole walk depends on."""
    whole = Basis()
    for basis in steps:
        whole.exact.update(basis.exact)
        whole.relative.update(basis.relative)
        whole.registers.update(basis.registers)
    return whole


def _end_of_walk(node: Optional[_Node], box: BlackBox) -> Optional[_Node]:
    """The last node in the walk of ``box`` from ``node`` on; None if the walk is not known."""
    stack, sp, registers = veiled(box), box.sp, box.registers
    while node is not None and node.stack is None:
        node = node.follow(stack, sp, registers)
    return node


def veiled(box: BlackBox) -> bytes:
    """The copied stack, with a random pattern where it was not in memory: no known walk has read that pattern."""
    if not box.missing:
        return box.stack
    stack = bytearray(box.stack)
    for start, end in box.missing:
        size = len(stack[start:end])
        stack[start : start + size] = (_VEIL * (size // len(_VEIL) + 1))[:size]
    return bytes(stack)


# Many points have the same place.
@functools.lru_cache(maxsize=4096)
def _place(offsets: _Offsets) -> _Place:
    exact, relative, registers = offsets
    if len(exact) == len(relative) == 1 and not registers:
        return _pair(exact[0], relative[0]), offsets
    read_exact, read_relative = _words(exact), _words(relative)
    if not relative and not registers:
        return lambda stack, _sp, _registers: read_exact(stack), offsets

    def read(stack: bytes, sp: int, values: Sequence[int]) -> _Key:
        words = [word - sp for word in read_relative(stack)]
        if registers:
            words += [values[number] - sp for number in registers]
        return (*read_exact(stack), *words)

    return read, offsets


def _pair(exact: int, relative: int) -> _Read:
    """Reads a return address, and a frame pointer as it was saved: what most steps depend on."""
    words = _words((min(exact, relative), max(exact, relative)))

    def exact_first(stack: bytes, sp: int, _registers: Sequence[int]) -> _Key:
        one, other = words(stack)
        return one, other - sp

    def relative_first(stack: bytes, sp: int, _registers: Sequence[int]) -> _Key:
        one, other = words(stack)
        return one - sp, other

    return exact_first if exact < relative else relative_first


@functools.lru_cache(maxsize=4096)
def _words(offsets: tuple[int, ...]) -> Callable[[bytes], tuple[int, ...]]:
    """A reader of the words at ``offsets`` (bytes, ascending). Never matches if they overlap: no ABI has that."""
    parts, at = ["<"], 0
    for offset in offsets:
        if offset < at:
            return struct.Struct(f"<{1 << 24}x").unpack_from  # longer than any box: never matches
        parts.append(f"{offset - at}xQ")
        at = offset + 8
    return struct.Struct("".join(parts)).unpack_from
