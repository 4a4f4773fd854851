"""A partial x86-64 decoder that can follow code to its ``ret``: lengths, stack changes, jumps (Intel SDM volume 2)."""

from __future__ import annotations

import enum
from typing import NamedTuple, Optional

from tracer.machine.registers import RBP, RSP

LONGEST_INSTRUCTION = 15

LONGEST_CALL = 7
"""Bytes of the longest call instruction without prefixes: ff /2 with SIB byte and 32-bit displacement."""

_FF = 0xFF


class Kind(enum.Enum):
    """What an instruction does on the way out of a function."""

    OTHER = enum.auto()
    PUSH = enum.auto()
    POP = enum.auto()
    ADJUST = enum.auto()
    FROM_RBP = enum.auto()
    LEAVE = enum.auto()
    LOAD = enum.auto()
    CALL = enum.auto()
    JUMP = enum.auto()
    BRANCH = enum.auto()
    RETURN = enum.auto()
    DEAD_END = enum.auto()


class Instruction(NamedTuple):
    """One instruction. ``length`` is in bytes.

    ``value`` depends on the kind. ADJUST: bytes added to rsp. FROM_RBP: rsp becomes rbp + value. LOAD, JUMP, BRANCH,
    CALL: the displacement, 0 for an indirect call. RETURN: bytes that it removes after the return address.
    ``register`` (DWARF number) is filled by POP and LOAD, or stored by PUSH. ``base`` (DWARF number) is the register
    that LOAD addresses with. Both are -1 for other kinds.
    """

    length: int
    kind: Kind
    value: int = 0
    register: int = -1
    base: int = -1


# Hardware encoding to DWARF number: rax rcx rdx rbx rsp rbp rsi rdi. r8 to r15 have the same number in both.
_DWARF = (0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15)

_LEGACY_PREFIXES = frozenset(b"\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65\xf0")
_INVALID = frozenset(b"\x06\x07\x0e\x16\x17\x1e\x1f\x27\x2f\x37\x3f\x60\x61\x82\x9a\xce\xd4\xd5\xd6\xea")
_MODRM = frozenset(
    [row + column for row in range(0, 0x40, 8) for column in range(4)]
    + [0x63, 0x69, 0x6B, *range(0x80, 0x90), 0xC0, 0xC1, 0xC6, 0xC7, *range(0xD0, 0xD4), *range(0xD8, 0xE0)]
    + [0xF6, 0xF7, 0xFE, 0xFF]
)
_IMM8 = frozenset(
    [row + 4 for row in range(0, 0x40, 8)]
    + [0x6A, 0x6B, *range(0x70, 0x80), 0x80, 0x83, 0xA8, *range(0xB0, 0xB8), 0xC0, 0xC1, 0xC6, 0xCD]
    + [*range(0xE0, 0xE8), 0xEB]
)
_IMM_WORD = frozenset([row + 5 for row in range(0, 0x40, 8)] + [0x68, 0x69, 0x81, 0xA9, 0xC7])
_NO_MODRM_0F = frozenset(
    [*range(0x05, 0x0A), 0x0B, 0x0E, *range(0x30, 0x38), 0x77, *range(0x80, 0x90), 0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA]
).union(range(0xC8, 0xD0))
_IMM8_0F = frozenset([0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6])
_DEAD_ENDS = frozenset([0xCC, 0xCD, 0xCF, 0xF1, 0xF4, 0xCA, 0xCB])


def decode(code: bytes) -> Optional[Instruction]:
    """Decode the instruction at the start of ``code``; None if it is not valid or not complete."""
    try:
        instruction = _Decoder(code).decode()
    except IndexError:
        return None
    if instruction is None or instruction.length > len(code):
        return None
    return instruction


class _Decoder:
    def __init__(self, code: bytes) -> None:
        self.code = code
        self.position = 0
        self.rex = 0
        self.short = False
        self.segment = False
        self.modrm = -1

    def decode(self) -> Optional[Instruction]:
        code = self.code
        while code[self.position] in _LEGACY_PREFIXES:
            self.short |= code[self.position] == 0x66
            self.segment |= code[self.position] in (0x64, 0x65)
            self.position += 1
        if code[self.position] & 0xF0 == 0x40:
            self.rex = code[self.position]
            self.position += 1
        opcode = code[self.position]
        self.position += 1
        if opcode in (0xC4, 0xC5, 0x62):
            return self._vector(opcode)
        if opcode == 0x0F:
            return self._two_bytes()
        if opcode in _INVALID:
            return None
        return self._one_byte(opcode)

    def _one_byte(self, opcode: int) -> Instruction:
        if opcode in _MODRM:
            self._operand()
        immediate = self._immediate_size(opcode)
        start = self.position
        self.position += immediate
        value = int.from_bytes(self.code[start : self.position], "little", signed=True)
        return self._meaning(opcode, value)

    def _immediate_size(self, opcode: int) -> int:
        word = 2 if self.short else 4
        if opcode in _IMM8:
            return 1
        if opcode in _IMM_WORD:
            return word
        if opcode in (0xE8, 0xE9):
            return 4
        if 0xB8 <= opcode <= 0xBF:
            return 8 if self.rex & 8 else word
        if 0xA0 <= opcode <= 0xA3:
            return 8
        if opcode in (0xC2, 0xCA):
            return 2
        if opcode == 0xC8:
            return 3
        if opcode in (0xF6, 0xF7) and (self.modrm >> 3) & 7 < 2:
            return 1 if opcode == 0xF6 else word
        return 0

    def _meaning(self, opcode: int, value: int) -> Instruction:
        if opcode == 0xE8:
            return self._made(Kind.CALL, value)
        if opcode in (0xE9, 0xEB):
            return self._made(Kind.JUMP, value)
        if 0x70 <= opcode <= 0x7F or 0xE0 <= opcode <= 0xE3:
            return self._made(Kind.BRANCH, value)
        if opcode in (0xC3, 0xC2):
            return self._made(Kind.RETURN, value & 0xFFFF)
        if opcode in (0x68, 0x6A):
            return self._made(Kind.DEAD_END if self.short else Kind.PUSH)
        if 0x50 <= opcode <= 0x57:
            kind = Kind.DEAD_END if self.short else Kind.PUSH
            return self._made(kind, 0, _DWARF[opcode - 0x50 + (self.rex & 1) * 8])
        if 0x58 <= opcode <= 0x5F:
            return self._made(Kind.POP, 0, _DWARF[opcode - 0x58 + (self.rex & 1) * 8])
        if opcode == 0x8F:  # pop into memory
            return self._made(Kind.ADJUST, 8)
        if opcode == 0xC9:
            return self._made(Kind.LEAVE)
        if opcode in _DEAD_ENDS:
            return self._made(Kind.DEAD_END)
        if opcode == 0xFF:
            return self._group5()
        return self._stack_arithmetic(opcode, value)

    def _group5(self) -> Instruction:
        operation = (self.modrm >> 3) & 7
        kinds = {2: Kind.CALL, 6: Kind.PUSH, 4: Kind.DEAD_END, 3: Kind.DEAD_END, 5: Kind.DEAD_END}
        return self._made(kinds.get(operation, Kind.OTHER))

    def _stack_arithmetic(self, opcode: int, value: int) -> Instruction:
        """Recognise instructions that write rsp or load a register from the stack. All others are OTHER."""
        mode, middle, rm = self.modrm >> 6, (self.modrm >> 3) & 7, self.modrm & 7
        wide = bool(self.rex & 8)
        if opcode in (0x81, 0x83) and mode == 3 and rm == 4 and not self.rex & 1:
            if wide and middle in (0, 5):
                return self._made(Kind.ADJUST, value if middle == 0 else -value)
            # "and $-32,%rsp" belongs to a prologue; cmp changes nothing
            return self._made(Kind.OTHER if middle == 7 else Kind.DEAD_END)
        if opcode in (0x8B, 0x8D) and wide:
            return self._load_or_lea(opcode)
        if opcode == 0x89 and mode == 3:
            source = _DWARF[middle + (self.rex & 4) * 2]
            target = _DWARF[rm + (self.rex & 1) * 8]
            if target == RSP:
                return self._made(Kind.FROM_RBP if source == RBP and wide else Kind.DEAD_END)
            if target == RBP and source == RSP:  # mov %rsp,%rbp: the prologue of the next function
                return self._made(Kind.DEAD_END)
        return self._made(Kind.OTHER)

    def _load_or_lea(self, opcode: int) -> Instruction:
        target = _DWARF[((self.modrm >> 3) & 7) + (self.rex & 4) * 2]
        base, displacement = self._stack_operand()
        if opcode == 0x8D:
            if target != RSP:
                return self._made(Kind.OTHER)
            if base == RSP:
                return self._made(Kind.ADJUST, displacement)
            return self._made(Kind.FROM_RBP if base == RBP else Kind.DEAD_END, displacement)
        if target == RSP:
            if self.modrm == 0xE5:  # mov %rbp,%rsp
                return self._made(Kind.FROM_RBP)
            return self._made(Kind.DEAD_END)
        if base < 0 or self.segment:
            return self._made(Kind.OTHER)
        return self._made(Kind.LOAD, displacement, target, base)

    def _stack_operand(self) -> tuple[int, int]:
        """Give base register and displacement of disp(%rsp) or disp(%rbp). The base of any other operand is -1."""
        mode, rm = self.modrm >> 6, self.modrm & 7
        size = (0, 1, 4, 0)[mode]
        displacement = int.from_bytes(self.code[self.position - size : self.position], "little", signed=True)
        if mode == 3 or self.rex & 1:
            return -1, 0
        if rm == 4 and self.code[self.position - size - 1] == 0x24:
            return (RSP, displacement) if not self.rex & 2 else (-1, 0)
        if rm == 5 and mode:
            return RBP, displacement
        return -1, 0

    def _two_bytes(self) -> Optional[Instruction]:
        opcode = self.code[self.position]
        self.position += 1
        if opcode in (0x38, 0x3A):
            self.position += 1
            self._operand()
            self.position += opcode == 0x3A
            return self._made(Kind.OTHER)
        if opcode == 0x1E and self.code[self.position] == 0xFA:  # endbr64: the start of a function
            self.position += 1
            return self._made(Kind.DEAD_END)
        if opcode not in _NO_MODRM_0F:
            self._operand()
            self.position += opcode in _IMM8_0F
        if 0x80 <= opcode <= 0x8F:
            start = self.position
            self.position += 4
            return self._made(Kind.BRANCH, int.from_bytes(self.code[start : start + 4], "little", signed=True))
        return self._made(Kind.DEAD_END if opcode in (0x0B, 0xB9, 0xFF) else Kind.OTHER)

    def _vector(self, prefix: int) -> Instruction:
        if prefix == 0xC5:
            table, self.position = 1, self.position + 1
        else:
            table = self.code[self.position] & (0x1F if prefix == 0xC4 else 0x07)
            self.position += 2 if prefix == 0xC4 else 3
        opcode = self.code[self.position]
        self.position += 1
        if not (table == 1 and opcode == 0x77):
            self._operand()
        self.position += table == 3 or (table == 1 and opcode in _IMM8_0F)
        return self._made(Kind.OTHER)

    def _operand(self) -> None:
        self.modrm = self.code[self.position]
        self.position += 1
        mode, rm = self.modrm >> 6, self.modrm & 7
        if mode == 3:
            return
        if rm == 4:
            base = self.code[self.position] & 7
            self.position += 1
            if mode == 0 and base == 5:
                self.position += 4
        elif rm == 5 and mode == 0:
            self.position += 4
        self.position += (0, 1, 4)[mode]

    def _made(self, kind: Kind, value: int = 0, register: int = -1, base: int = -1) -> Instruction:
        return Instruction(self.position, kind, value, register, base)


def follows_call(code: bytes) -> bool:
    """Whether ``code``, the LONGEST_CALL bytes before an address, ends with a call instruction.

    That is e8 rel32, or ff /2 with any addressing form (Intel SDM volume 2, CALL). A return address always follows a
    call. Few other words on a stack do.
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
