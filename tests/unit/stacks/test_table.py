"""Equal stacks are one object with one number."""

from __future__ import annotations

import gc
import weakref

import pytest

from tracer.model.frame import Frame, Stack
from tracer.stacks.table import StackTable


def stack(*names: str) -> Stack:
    return Stack(tuple(Frame(name, "app") for name in names), True)


def test_equal_stacks_are_one_object_while_it_is_held() -> None:
    """An equal stack gives the first object. The table keeps it only as long as somebody holds it."""
    table = StackTable()
    first = table.one(stack("a", "b"))
    assert table.one(stack("a", "b")) is first
    assert table.one(first) is first
    assert table.one(stack("a", "c")) is not first
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None


def test_an_equal_stack_is_remembered_as_such() -> None:
    """Each of several processes may keep its own. It stands for the first as long as that is there."""
    table = StackTable()
    first, twin = table.one(stack("a", "b")), stack("a", "b")
    assert table.one(twin) is table.one(twin) is first
    del first
    gc.collect()
    assert table.one(twin) is twin


def test_stacks_that_are_gone_are_not_remembered_for_ever() -> None:
    """A run of months meets ever new ones."""
    table = StackTable()
    for number in range(5000):
        table.one(stack(str(number)))
    assert len(table._by_identity) <= 1024


def test_a_number_keeps_its_stack() -> None:
    """A number of a stack is valid for the whole run, because records have it. No stack has number 0."""
    table = StackTable()
    numbers = [table.number(table.one(stack("a", name))) for name in ("b", "c", "b")]
    gc.collect()
    assert numbers == [1, 2, 1]
    assert table.numbered(2) == stack("a", "c")
    assert table.one(stack("a", "c")) is table.numbered(2)


def test_no_more_numbers_than_allowed() -> None:
    """Programs that always generate new code must not fill the memory. A stack keeps its number."""
    table = StackTable(most=2)
    known = [table.one(stack(name)) for name in "abc"]
    assert [table.number(one) for one in known] == [1, 2, None]
    assert table.number(table.one(stack("a"))) == 1


def test_numbers_that_nobody_needs_are_released() -> None:
    """A run of months has ever new stacks. Those in use keep their numbers, and no number is given twice."""
    table = StackTable(most=4)
    numbers = [table.number(table.one(stack(name))) for name in "ab"]
    assert not table.is_filling
    numbers.append(table.number(table.one(stack("c"))))
    assert table.is_filling
    assert table.release({2}, newest=2) == 1
    assert table.numbered(2) == stack("b")
    assert table.numbered(3) == stack("c")
    with pytest.raises(KeyError):
        table.numbered(1)
    gc.collect()
    assert table.number(table.one(stack("a"))) == 4
