"""All that the unwinders must know of x86-64 (System V psABI, AMD64 supplement 1.0). An arm64 port starts here."""

from __future__ import annotations

EM_MACHINE = 62
"""e_machine of the ELF files that can be unwound."""

REGISTER_COUNT = 17
"""DWARF registers that are tracked: rax rdx rcx rbx rsi rdi rbp rsp r8..r15 and the return address column."""

RBP = 6
RSP = 7
RETURN_ADDRESS = 16

REGISTER_NAMES = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()

PAGE_SIZE = 4096

LONGEST_CALL = 7
"""Bytes of the longest call instruction without prefixes: ff /2 with SIB byte and 32-bit displacement."""

_FF = 0xFF


def follows_call(code: bytes) -> bool:
    """Whether ``code``, the LONGEST_CALL bytes before an address, ends in a call instruction.

    e8 rel32, or ff /2 with any addressing form (Intel SDM volume 2, CALL). A return address always follows one; few
    other words on a stack do.
    """
    if len(code) >= 5 and code[-5] == 0xE8:
        return True
    return any(
        len(code) >= length and code[-length] == _FF and _indirect_call_length(code[-length:]) == length
        for length in range(2, 8)
    )


def _indirect_call_length(code: bytes) -> int:
    modrm = code[1]
    if (modrm >> 3) & 7 != 2:
        return 0
    mode, base = modrm >> 6, modrm & 7
    if mode == 3:
        return 2
    length = 2
    if base == 4:
        length += 1
        if mode == 0 and len(code) > 2 and code[2] & 7 == 5:
            return length + 4
    elif base == 5 and mode == 0:
        return length + 4
    return length + (0, 1, 4)[mode]
