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

import os
import struct
import time
from collections.abc import Hashable, Sequence
from typing import Optional, Union

from tracer.model.frame import BlackBox, Stack
from tracer.stacks.places import Key, Place, place_of
from tracer.stacks.witness import ALWAYS_NS, Basis, Rests

_MAX_WAYS, _MAX_SHAPES, _MAX_NODES = 16, 2, 65_536
_TRIED_IN_VAIN = 64
"""So many more times in vain than with success, and shapes are not tried any more."""
_VEIL = os.urandom(16)
GENERATED_CODE_S = 1.0
"""How long a stack with generated code stays known. That code can change although the maps do not."""

_Way = tuple[Place, Union[tuple[Key, "_Node"], dict[Key, "_Node"]]]
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
        place = place_of((exact, relative, registers))
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

    A program with many paths has as many shapes. To try the latest ones in vain, and then follow the walk step by step,
    takes longer than to follow it at once.
    """

    __slots__ = ("balance", "known")

    def __init__(self) -> None:
        self.known, self.balance = _Node(), 0

    @property
    def pay(self) -> bool:
        """Whether they were found often enough to be tried."""
        return self.balance > -_TRIED_IN_VAIN

    def tried(self, found: bool) -> None:
        """Count whether a known walk was found among them. A walk that nobody knew tells nothing."""
        self.balance = min(self.balance + 1, _TRIED_IN_VAIN) if found else self.balance - 1


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
        if shapes is not None and shapes.pay:
            node = _end_of_walk(shapes.known, box)
            if node is not None and node.holds(box):
                shapes.tried(found=True)
                return node.stack
        node = _end_of_walk(self._roots.get(start), box)
        if node is not None and node.holds(box):
            if shapes is not None and shapes.pay:
                shapes.tried(found=False)
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
