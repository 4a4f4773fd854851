"""All that the unwinders must know of x86-64 (System V psABI, AMD64 supplement 1.0). An arm64 port starts here."""

from __future__ import annotations

from typing import Optional

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


LONGEST_EPILOGUE = 24

_POPS = {0x58: 0, 0x59: 2, 0x5A: 1, 0x5B: 3, 0x5D: 6, 0x5E: 4, 0x5F: 5}
"""One-byte pop instructions to DWARF register numbers."""


def epilogue(code: bytes) -> Optional[tuple[int, tuple[int, ...]]]:
    """Decode ``code`` as an epilogue: bytes dropped from the stack, then the registers popped before ``ret``.

    ``add $n,%rsp`` (optional), pops, ``ret``. None if ``code`` is anything else.
    """
    position = skip = 0
    if code[:3] == b"\x48\x83\xc4" and len(code) > 3 and code[3] < 0x80:
        skip, position = code[3], 4
    elif code[:3] == b"\x48\x81\xc4":
        skip, position = int.from_bytes(code[3:7], "little"), 7
        if skip >= 1 << 31:
            return None
    popped: list[int] = []
    while position < len(code):
        byte = code[position]
        if byte == 0xC3:
            return skip, tuple(popped)
        if byte == 0x41 and position + 1 < len(code) and 0x58 <= code[position + 1] <= 0x5F:
            popped.append(code[position + 1] - 0x58 + 8)
            position += 2
        elif byte in _POPS:
            popped.append(_POPS[byte])
            position += 1
        else:
            return None
    return None
