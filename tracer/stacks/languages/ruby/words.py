"""What bpf/languages/ruby.bpf.c tells of each control frame, and which C function runs which of them.

Each vm_exec of the interpreter begins with a frame that is marked so (VM_FRAME_FLAG_FINISH).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FINISH, C_FUNCTION = 1, 2
POINTER_BITS = 56
_POINTER_MASK = (1 << POINTER_BITS) - 1


@dataclass(frozen=True)
class Call:
    """A control frame: of an iseq at ``address`` with its ``pc``, or of a C function whose method entry is there."""

    address: int
    pc: int
    is_c: bool


def loops(words: Sequence[tuple[int, int]], is_whole: bool) -> tuple[tuple[Call, ...], ...]:
    """The calls of each vm_exec, innermost first. Left out are frames that run nothing, as in Ruby's own backtraces.

    One of them is the outermost frame, if the words are whole (rb_ec_partial_backtrace_object in vm_backtrace.c).
    """
    found: list[tuple[Call, ...]] = []
    calls: list[Call] = []
    for address, word in words[: -1 if is_whole else None]:
        kind, pc = word >> POINTER_BITS, word & _POINTER_MASK
        is_c = bool(kind & C_FUNCTION)
        if address and (is_c or pc):
            calls.append(Call(address, pc, is_c))
        if kind & FINISH:
            found.append(tuple(calls))
            calls = []
    return (*found, tuple(calls)) if calls else tuple(found)
