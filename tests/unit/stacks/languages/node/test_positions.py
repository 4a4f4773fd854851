"""V8's tables: source positions by offset, bytecodes by offset in baseline code."""

from __future__ import annotations

from itertools import accumulate
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stacks.languages.node.v8memory import LAYOUT, number, packed, table_of
from tracer.stacks.languages.node.positions import bytecode_offset_at, has_position_at, position_at
from tracer.stacks.target.reader import Nonsense

ENTRIES = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 1 << 28), st.integers(0, 0xFFFF)), min_size=1)


@given(steps=ENTRIES, offset=st.integers(0, 20_000))
def test_the_last_entry_at_or_before_an_offset_counts(steps: list[tuple[int, int, int]], offset: int) -> None:
    """Whatever the entries are, in order of their offsets."""
    places = list(accumulate(step for step, _, _ in steps))
    table = table_of((at, packed(source, inlined)) for at, (_, source, inlined) in zip(places, steps))
    before = [(source, inlined) for at, (_, source, inlined) in zip(places, steps) if at <= offset]
    found = position_at(table, offset)
    assert (tuple(found) if found is not None else None) == (before[-1] if before else None)
    assert has_position_at(table, offset) == (offset in places)


@given(data=st.binary(max_size=200), offset=st.integers(0, 1000))
def test_any_bytes_are_a_table_or_nonsense(data: bytes, offset: int) -> None:
    """Tables lie in a process's memory, which may hold anything."""
    for call in (lambda: position_at(data, offset), lambda: bytecode_offset_at(data, offset, data, data)):
        try:
            call()
        except Nonsense:
            continue


def test_a_position_outside_of_scripts_has_no_offset() -> None:
    """Its lowest bit says so."""
    found = position_at(table_of([(0, 1)]), 0)
    assert found is not None
    assert found.offset == -1


@pytest.mark.parametrize(
    ("offset", "bytecode"), [(9, 0), (10, 0), (13, 0), (14, 2), (17, 2), (18, 5), (22, 5), (23, None)]
)
def test_baseline_code_is_bytecode_after_bytecode(offset: int, bytecode: Optional[int]) -> None:
    """Ten bytes before the first one, then 4, 4 and 5 for bytecodes of 2, 3 and 2 bytes."""
    table = b"".join(map(number, (10, 4, 4, 5)))
    assert bytecode_offset_at(table, offset, bytes([4, 0, 5, 0, 0, 4, 0]), LAYOUT.bytecode_sizes) == bytecode


def test_a_prefix_makes_operands_larger() -> None:
    """Wide doubles them, ExtraWide makes them four times as large."""
    code = bytes([0, 4, 0, 0, 1, 5, *bytes(8), 3])
    table = b"".join(map(number, (0, 1, 1, 1)))
    assert [bytecode_offset_at(table, at, code, LAYOUT.bytecode_sizes) for at in range(3)] == [0, 4, 14]
