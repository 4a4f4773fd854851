"""Strings of all kinds, functions and their places in scripts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stacks.languages.node.v8memory import LAYOUT, SIZE, V8Memory, small
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.languages.node.functions import Functions
from tracer.stacks.languages.node.heap import Heap
from tracer.stacks.target.reader import Nonsense, Reader

CONS, EXTERNAL, SLICED, THIN, UNCACHED = 1, 2, 3, 5, 18


def heap_of(memory: V8Memory) -> Heap:
    return Heap(Reader(memory))


def functions_of(memory: V8Memory) -> Functions:
    return Functions(heap_of(memory), LAYOUT)


@given(text=st.text(max_size=40))
def test_a_flat_string_is_its_code_units(text: str) -> None:
    """Of one byte each, or two."""
    memory = V8Memory()
    units = text.encode("utf-16-le", "surrogatepass")
    read = heap_of(memory).string(memory.string(text)) if "\0" not in text else text
    assert read.encode("utf-16-le", "surrogatepass") == units or len(text.encode("utf-16-le")) != 2 * len(text)


def test_strings_made_of_others() -> None:
    """Two joined, a part of one, one that stands for another, and one whose characters lie outside of the heap."""
    memory = V8Memory()
    left, right = memory.string("open"), memory.string("Orders")
    whole = memory.string_of(CONS, 10, left, right)
    chars = memory.put(b"external")
    heap = heap_of(memory)
    assert heap.string(whole) == "openOrders"
    assert heap.string(memory.string_of(THIN, 10, whole, 0)) == "openOrders"
    assert heap.string(memory.string_of(SLICED, 3, right, small(2))) == "der"
    assert heap.string(memory.string_of(SLICED, 3, whole, small(3))) == "nOr"
    assert heap.string(memory.string_of(EXTERNAL, 8, 0, chars)) == "external"


def test_strings_that_are_none() -> None:
    """Too long, in a circle, of other types, or longer than what they are made of."""
    memory = V8Memory()
    short, heap = memory.string("short"), heap_of(memory)
    itself = memory.string_of(CONS, 10, short, short)
    memory.write(itself - 1 + 16, itself.to_bytes(8, "little"))
    bad = [
        0,
        small(3),
        memory.undefined,
        itself,
        memory.string_of(THIN, 4, short, 0),
        memory.string_of(CONS, 9, short, short),
        memory.string_of(SLICED, 3, short, small(3)),
        memory.string_of(SLICED, 3, short, small(-1)),
        memory.string_of(UNCACHED, 3, 0, 0),
        memory.string_of(0, -1, 0, 0),
        memory.string_of(0, 1 << 30, 0, 0),
    ]
    for pointer in bad:
        with pytest.raises(Nonsense):
            heap.string(pointer)


@pytest.mark.parametrize("variables", [0, 1, 20, 74, 75, 200])
def test_a_name_lies_behind_the_variables(variables: int) -> None:
    """Up to 74 their names are in the scope itself."""
    memory = V8Memory()
    script = memory.script("x")
    for scope, name in (
        (memory.scope("send", variables=variables), "send"),
        (memory.scope("", "Socket.write", variables=variables), "Socket.write"),
        (memory.scope(None, "exports.go", variables=variables), "exports.go"),
        (memory.scope(None, variables=variables), ""),
    ):
        assert functions_of(memory).at(memory.shared(scope, script)).name == name


def test_where_a_function_is() -> None:
    """File and line, with all ends of lines that JavaScript knows; builtin functions have neither."""
    memory = V8Memory()
    functions = functions_of(memory)
    source = "one\ntwo\r\nthree\u2028four"
    found = functions.at(memory.shared(memory.string("f"), memory.script(source, "file:///srv/a.mjs")))
    assert (found.name, found.file) == ("f", "/srv/a.mjs")
    offsets = [source.index(word) for word in ("one", "two", "three", "four")]
    assert [functions.line(found, offset) for offset in offsets] == [1, 2, 3, 4]
    assert functions.line(found, -1) is None
    shifted = functions.at(memory.shared(memory.string("g"), memory.script(source, line_offset=10)))
    memory.write(shifted.script - 1 + 64, small(8).to_bytes(8, "little"))
    assert functions.line(shifted, offsets[1]) == 12
    assert functions.at(memory.shared(memory.string("e"), memory.script("", None))).file is None
    builtin = functions.at(memory.shared(memory.string("map"), memory.undefined))
    assert (builtin.name, builtin.file, builtin.script) == ("map", None, 0)


def test_only_functions_are_functions() -> None:
    """Each pointer must be to an object of the right type."""
    memory = V8Memory()
    shared = memory.shared(memory.string("f"), memory.script("x"))
    function, functions = memory.function(shared), functions_of(memory)
    assert functions.shared_of(function) == shared
    with pytest.raises(Nonsense):
        functions.at(function)
    with pytest.raises(Nonsense):
        functions.shared_of(shared)
    with pytest.raises((Nonsense, MemoryUnreadable)):
        functions.at(0x7777_0001)


def test_any_memory_is_a_function_or_nonsense() -> None:
    """The collector moves objects while they are read: half of one and half of another may lie there."""
    chance = random.Random(1)
    for _ in range(300):
        memory = V8Memory()
        shared = memory.shared(memory.scope("f", "a.f", 3), memory.script("a\nb"))
        for _ in range(chance.randrange(1, 40)):
            at = chance.randrange(0x1000, 0x1800) // 8 * 8
            word = chance.choice([chance.randrange(1 << 64), shared, small(chance.randrange(-9, 1 << 30)), 1])
            memory.write(0x10_0000 + at % SIZE, word.to_bytes(8, "little"))
        functions = functions_of(memory)
        try:
            found = functions.at(shared)
            functions.bytecodes_of(shared)
            functions.line(found, 1)
        except (Nonsense, MemoryUnreadable):
            continue
