"""Oracles: what Python itself says of the lines of its standard library's code, and the formats' own documents."""

from __future__ import annotations

import dis
import json
import socket
import sys
import types
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.stacks.languages.cpython.lines import by_lnotab, by_locations, by_ranges

MODULES = (dis, json, socket, types)


def codes() -> Iterator[types.CodeType]:
    """All code objects of some modules of the standard library."""
    for module in MODULES:
        with open(module.__file__ or "", encoding="utf-8") as file:
            waiting = [compile(file.read(), "m.py", "exec")]
        while waiting:
            code = waiting.pop()
            yield code
            waiting += [one for one in code.co_consts if isinstance(one, types.CodeType)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="this Python has another table")
def test_the_table_of_locations_gives_the_lines_that_python_gives() -> None:
    """For each instruction of each function: as ``co_lines()``."""
    for code in codes():
        for start, end, line in code.co_lines():
            for instruction in range(start, end, 2):
                assert by_locations(code.co_linetable, code.co_firstlineno, instruction) == line


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="this Python has no lnotab any more")
def test_the_older_table_gives_the_lines_that_python_gives() -> None:
    """``co_lnotab`` is still made on request: as ``dis.findlinestarts()`` where lines begin."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for code in codes():
            for instruction, line in dis.findlinestarts(code):
                if line is not None:
                    assert by_lnotab(code.co_lnotab, code.co_firstlineno, instruction) == line


@given(st.lists(st.tuples(st.integers(1, 100), st.one_of(st.none(), st.integers(-100, 100))), min_size=1))
def test_the_table_of_ranges_is_read_as_it_is_written(ranges: list[tuple[int, int | None]]) -> None:
    """Objects/lnotab_notes.txt of 3.10: each entry is a length and a step of the line, -128 for none."""
    table, expected, line = bytearray(), [], 1000
    for units, step in ranges:
        table += bytes((2 * units, (step if step is not None else -128) & 0xFF))
        line += step or 0
        expected += [line if step is not None else None] * (2 * units)
    assert [by_ranges(bytes(table), 1000, place) for place in range(len(expected))] == expected
    assert by_ranges(bytes(table), 1000, len(expected)) is None


@given(st.binary(max_size=40), st.integers(-10, 400))
def test_any_bytes_give_a_line_or_none(table: bytes, instruction: int) -> None:
    """A damaged table is no reason to fail."""
    for find in (by_lnotab, by_ranges, by_locations):
        assert isinstance(find(table, 1, instruction), (int, type(None)))
