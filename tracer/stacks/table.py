"""The same stack is one object, with a number once something outside Python refers to it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Optional
from weakref import WeakValueDictionary

from tracer.model.frame import Stack


class StackTable:
    """All stacks of a run by value, by identity and by number.

    A stack without a number is kept as long as anyone else holds it; one with a number is kept for good, up to ``most``
    of them. Numbers begin with 1, so 0 is free to mean none.
    """

    def __init__(self, most: int = 65_536) -> None:
        self._most = most
        self._by_value: WeakValueDictionary[Hashable, Stack] = WeakValueDictionary()
        self._by_identity: WeakValueDictionary[int, Stack] = WeakValueDictionary()
        self._numbered: dict[int, Stack] = {}
        self._numbers: dict[int, int] = {}

    def one(self, stack: Stack) -> Stack:
        """The object that stands for all stacks equal to this one."""
        # To compare a stack by its value means to hash every frame: not for those that are known by themselves.
        if self._by_identity.get(id(stack)) is stack:
            return stack
        one = self._by_value.setdefault((stack.frames, stack.complete, stack.note), stack)
        self._by_identity[id(one)] = one
        return one

    def number(self, stack: Stack) -> Optional[int]:
        """The number of a stack that ``one`` returned; None if it has none and no more are given."""
        number = self._numbers.get(id(stack))
        if number is None and len(self._numbered) < self._most:
            number = len(self._numbered) + 1
            self._numbered[number] = stack
            self._numbers[id(stack)] = number  # never another's: a stack that has a number is not freed
        return number

    def numbered(self, number: int) -> Stack:
        """The stack with this number. Raises KeyError if it was never given."""
        return self._numbered[number]
