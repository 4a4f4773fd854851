"""DWARF expressions, compared with values calculated by hand from DWARF 5, section 2.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.stacks.elf.expression import ExpressionError, Op, evaluate

MASK = (1 << 64) - 1


def no_memory(address: int, size: int) -> int:
    raise AssertionError("nothing is loaded here")


def run(
    *ops: int | tuple[int, int],
    registers: Sequence[Optional[int]] = (),
    cfa: Optional[int] = None,
    load: Callable[[int, int], int] = no_memory,
) -> int:
    return evaluate([Op(*op) if isinstance(op, tuple) else Op(op) for op in ops], registers, cfa, load)


@pytest.mark.parametrize(("low", "adjust"), [(0, 0), (6, 0), (10, 0), (11, 8), (15, 8)])
def test_plt_rule(low: int, adjust: int) -> None:
    """The linker's rule for a PLT slot: CFA = rsp + 8, plus 8 after the push of the index (from byte 11 of 16 on)."""
    # DW_OP_breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus (binutils, elf_x86_64_lazy_plt_eh_frame)
    registers = [0] * 17
    registers[7], registers[16] = 0x7FFE0000, 0x401020 + low
    plt: list[int | tuple[int, int]] = [(0x77, 8), (0x80, 0), 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22]
    assert run(*plt, registers=registers) == 0x7FFE0008 + adjust


def test_realigned_frame() -> None:
    """gcc's rule for a realigned stack: the CFA is in the word at rbp - 16."""
    words = {0x7FF0: 0x8010}
    registers = [None] * 6 + [0x8000]
    assert run((0x76, MASK - 15), 0x06, registers=registers, load=lambda a, n: words[a]) == 0x8010


@pytest.mark.parametrize(
    ("ops", "value"),
    [
        ([0x31, 0x32, 0x1C], MASK),
        ([0x31, 0x32, 0x1C, 0x35, 0x1B], 0),
        ([(0x11, MASK - 6), 0x32, 0x1B], MASK - 2),
        ([0x37, 0x35, 0x1D], 2),
        ([0x37, 0x35, 0x1E], 35),
        ([0x31, 0x1F], MASK),
        ([0x30, 0x20], MASK),
        ([(0x11, MASK), 0x19], 1),
        ([(0x11, MASK - 15), 0x32, 0x26], MASK - 3),
        ([(0x11, MASK - 15), 0x32, 0x25], (MASK - 15) >> 2),
        ([0x35, 0x33, 0x27], 6),
        ([0x35, 0x33, 0x21], 7),
        ([(0x11, MASK), 0x30, 0x2D], 1),
        ([0x31, 0x32, 0x12, 0x1C, 0x22], 1),
        ([0x31, 0x32, 0x14], 1),
        ([0x31, 0x32, 0x33, (0x15, 2)], 1),
        ([0x31, 0x32, 0x16], 1),
        ([0x31, 0x32, 0x33, 0x17], 2),
        ([0x31, 0x32, 0x13], 1),
        ([(0x10, 1000), (0x23, 24)], 1024),
    ],
)
def test_operations(ops: list[int | tuple[int, int]], value: int) -> None:
    """Each operation gives the value that the standard defines."""
    assert run(*ops) == value


def test_branches() -> None:
    """The operand of skip and bra counts from the end of the operation. An endless loop is an error."""
    taken = [Op(0x31, offset=0), Op(0x28, 1, offset=1), Op(0x32, offset=4), Op(0x33, offset=5)]
    assert evaluate(taken, (), None, no_memory) == 3
    with pytest.raises(ExpressionError):
        evaluate([Op(0x31, offset=0), Op(0x2F, MASK - 3, offset=1)], (), None, no_memory)


@pytest.mark.parametrize(
    "ops", [[], [0x22], [0x06], [0xE0], [0x31, 0x30, 0x1B], [(0x77, 0)], [0x9C], [0x31, (0x15, 9)]]
)
def test_what_cannot_be_evaluated(ops: list[int | tuple[int, int]]) -> None:
    """An empty stack, an unknown operation or register, and a division by zero raise ExpressionError."""
    with pytest.raises(ExpressionError):
        run(*ops, registers=[None] * 17)


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, MASK), st.integers(0, MASK), st.integers(0, 40)), max_size=40
    )
)
def test_any_operations(ops: list[tuple[int, int, int]]) -> None:
    """Random operations give a 64-bit value or an ExpressionError."""
    try:
        value = evaluate([Op(*op) for op in ops], [5] * 17, 7, lambda address, size: 0)
    except ExpressionError:
        return
    assert 0 <= value <= MASK
