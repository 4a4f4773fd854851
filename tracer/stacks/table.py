"""Keeps equal stacks as one object. A stack gets a number when something outside of Python refers to it."""

from __future__ import annotations

from collections.abc import Hashable, Set
from typing import Optional
from weakref import ReferenceType, WeakValueDictionary, ref

from tracer.model.frame import Stack

_MET = 1024
"""So many stacks are met before those that are gone are looked for."""


class StackTable:
    """All stacks of a run: by value, by identity and by number.

    A stack without a number is kept as long as somebody else holds it. A stack with a number is kept until it is
    released. At most ``most`` stacks have a number at a time. Numbers start at 1, and 0 means no stack. A number is
    never given twice.
    """

    def __init__(self, most: int = 65_536) -> None:
        self._most = most
        self._by_value: WeakValueDictionary[Hashable, Stack] = WeakValueDictionary()
        self._by_identity: dict[int, tuple[ReferenceType[Stack], ReferenceType[Stack]]] = {}
        """Stacks that were met, by their id, each with the one object for it. Some may be gone."""
        self._most_met = _MET
        self._numbered: dict[int, Stack] = {}
        self._numbers: dict[int, int] = {}
        self._last = 0

    def one(self, stack: Stack) -> Stack:
        """The one object for all stacks that are equal to ``stack``."""
        # Comparing by value hashes every frame. An object that is already known does not need that, nor does one that
        # is known to be equal: each of several processes may keep its own.
        met = self._by_identity.get(id(stack))
        if met is not None and met[0]() is stack:
            one = met[1]()
            if one is not None:
                return one
        one = self._by_value.setdefault((stack.frames, stack.complete, stack.note), stack)
        if len(self._by_identity) >= self._most_met:
            self._forget_the_gone()
        self._by_identity[id(stack)] = (ref(stack), ref(one))
        return one

    def _forget_the_gone(self) -> None:
        self._by_identity = {met: pair for met, pair in self._by_identity.items() if pair[0]() is not None}
        self._most_met = max(_MET, 2 * len(self._by_identity))

    def number(self, stack: Stack) -> Optional[int]:
        """The number of a stack that ``one`` returned; a new one if needed. None if ``most`` stacks have numbers."""
        number = self._numbers.get(id(stack))
        if number is None and len(self._numbered) < self._most:
            self._last = number = self._last + 1
            self._numbered[number] = stack
            self._numbers[id(stack)] = number  # the id stays unique as long as the stack has a number
        return number

    @property
    def is_filling(self) -> bool:
        """Whether few numbers are left."""
        return len(self._numbered) >= self._most * 3 // 4

    @property
    def newest(self) -> int:
        """The last number that was given, 0 if none was."""
        return self._last

    def release(self, used: Set[int], newest: int) -> int:
        """Take the numbers up to ``newest`` that are not ``used`` from their stacks. Returns how many that were."""
        free = [number for number in self._numbered if number <= newest and number not in used]
        for number in free:
            del self._numbers[id(self._numbered.pop(number))]
        return len(free)

    def numbered(self, number: int) -> Stack:
        """The stack with this number. Raises KeyError if there is none."""
        return self._numbered[number]
