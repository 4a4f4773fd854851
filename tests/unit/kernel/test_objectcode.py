"""Object code apart from compiler and kernel: references to maps and parameters, and its text."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.kernel.objectcode import MapSpec, ObjectCode, from_text, kernel_function, parameter, unlinked

MAPS = (MapSpec("one", 1, 4, 8, 16, 0), MapSpec("two", 2, 4, 4096, 1, 1024))
MOVE = struct.pack("<BBhI", 0xB7, 0, 0, 7)  # r0 = 7


def wide(register: int, source: int, low: int, high: int) -> bytes:
    """A load of 64 bits, as in struct bpf_insn (uapi/linux/bpf.h)."""
    return struct.pack("<BBhIBBhI", 0x18, source << 4 | register, 0, low, 0, 0, 0, high)


def parameter_word(index: int) -> int:
    """The number that the C expression has the compiler load."""
    return int(parameter(index).split("(")[1].rstrip(")"), 16)


@given(st.lists(st.integers(0, 1), max_size=5), st.integers(3, 1000), st.integers(3, 1000))
def test_map_references_follow_the_descriptors(order: list[int], compilers: int, ours: int) -> None:
    """What a compiler made with its descriptors is linked with ours, and nothing else changes."""
    theirs, mine = (compilers, compilers + 1), (ours + 5, ours)
    code = MOVE.join([MOVE, *(wide(n + 1, 1, theirs[n], 0) for n in order), MOVE])
    stored = unlinked(code, {theirs[0]: 0, theirs[1]: 1})
    linked = ObjectCode(MAPS, {"f": stored}).linked("f", mine, ())
    assert linked == MOVE.join([MOVE, *(wide(n + 1, 1, mine[n], 0) for n in order), MOVE])


@given(st.integers(0, 2**64 - 1), st.integers(0, 200))
def test_parameters_are_put_in(value: int, index: int) -> None:
    """Sixty-four bits, wherever the compiler loads that parameter."""
    word = parameter_word(index)
    code = ObjectCode((), {"f": MOVE + wide(3, 0, word & 0xFFFFFFFF, word >> 32)})
    parameters = [0] * index + [value]
    assert code.linked("f", (), parameters) == MOVE + wide(3, 0, value & 0xFFFFFFFF, value >> 32)


def test_other_numbers_stay() -> None:
    """A 64-bit number that is no parameter, and a second half that looks like a load."""
    code = wide(1, 0, 0x18, 0x4105E7AB) + struct.pack("<BBhIBBhI", 0x18, 2, 0, 5, 0x18, 0x10, 0, 9) + MOVE
    assert ObjectCode((), {"f": code}).linked("f", (), ()) == code


@given(st.integers(1, 2**24 - 1))
def test_calls_of_kernel_functions_are_made_right(btf_id: int) -> None:
    """struct bpf_insn: BPF_PSEUDO_KFUNC_CALL (2) as source register, and the function's BTF number."""
    code = MOVE + struct.pack("<BBhI", 0x85, 0, 0, int(kernel_function(btf_id), 16))
    assert unlinked(code, {}) == MOVE + struct.pack("<BBhI", 0x85, 0x20, 0, btf_id)


def test_calls_of_helpers_stay() -> None:
    """And so does the second half of a wide load that looks like such a call."""
    code = struct.pack("<BBhI", 0x85, 0, 0, 5) + wide(1, 0, 9, int(kernel_function(3), 16))
    assert unlinked(code, {}) == code


def test_a_missing_parameter_is_an_error() -> None:
    """Rather than a program that compares with a number of ours."""
    word = parameter_word(2)
    with pytest.raises(IndexError):
        ObjectCode((), {"f": wide(1, 0, word & 0xFFFFFFFF, word >> 32)}).linked("f", (), (1, 2))


def test_a_map_of_somebody_else_is_an_error() -> None:
    """A descriptor that the compiler did not tell of."""
    with pytest.raises(KeyError):
        unlinked(wide(1, 1, 9, 0), {3: 0})


def test_text_and_back() -> None:
    """Nothing is lost in the cache."""
    code = ObjectCode(MAPS, {"f": MOVE, "g": wide(1, 1, 0, 0)})
    assert from_text(code.to_text()) == code
