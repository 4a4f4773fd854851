"""Evaluates the DWARF expressions of call frame information (DWARF 5, section 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

_MASK = (1 << 64) - 1
_MAX_STEPS = 1000
_MAX_DEPTH = 64

_BRA = 0x28
_SKIP = 0x2F

DW_OP_DEREF = 0x06
DW_OP_PLUS_UCONST = 0x23
DW_OP_REG0 = 0x50
DW_OP_BREG0 = 0x70
DW_OP_REGX = 0x90
DW_OP_BREGX = 0x92
DW_OP_CALL_FRAME_CFA = 0x9C
DW_OP_STACK_VALUE = 0x9F


class Op(NamedTuple):
    """One operation as libdw decodes it: opcode, operands (unsigned 64-bit), offset in the expression (bytes)."""

    atom: int
    number: int = 0
    number2: int = 0
    offset: int = 0


class ExpressionError(Exception):
    """The expression cannot be evaluated: an unknown operation, an unknown register, or no end."""


def signed(value: int) -> int:
    """Read an unsigned 64-bit value as two's complement."""
    return value - (1 << 64) if value & (1 << 63) else value


def evaluate(
    ops: Sequence[Op],
    registers: Sequence[Optional[int]],
    cfa: Optional[int],
    load: Callable[[int, int], int],
) -> int:
    """Evaluate ``ops``. Returns the value on top of the stack.

    ``load(address, size)`` gives the little-endian unsigned word in the target's memory. ``cfa`` is the value that
    DW_OP_call_frame_cfa pushes. Raises ExpressionError, and everything that ``load`` raises.
    """
    machine = _Machine(registers, cfa, load)
    index_of = {op.offset: index for index, op in enumerate(ops)}
    index = 0
    for _ in range(_MAX_STEPS):
        if index >= len(ops):
            return machine.pop()
        op = ops[index]
        index += 1
        if op.atom in (_BRA, _SKIP):
            if op.atom == _SKIP or machine.pop():
                # The operand counts from the end of the operation, which has one byte of opcode and two of operand.
                target = op.offset + 3 + signed(op.number)
                index = index_of.get(target, len(ops))
            continue
        machine.execute(op)
        if len(machine.stack) > _MAX_DEPTH:
            break
    raise ExpressionError("a DWARF expression does not end")


class _Machine:
    def __init__(self, registers: Sequence[Optional[int]], cfa: Optional[int], load: Callable[[int, int], int]) -> None:
        self.stack: list[int] = []
        self._registers = registers
        self._cfa = cfa
        self._load = load

    def pop(self) -> int:
        if not self.stack:
            raise ExpressionError("a DWARF expression takes from an empty stack")
        return self.stack.pop()

    def execute(self, op: Op) -> None:
        atom = op.atom
        binary = _BINARY.get(atom)
        if binary is not None:
            right, left = self.pop(), self.pop()
            self.stack.append(binary(left, right) & _MASK)
        elif atom in _CONSTANTS:
            self.stack.append(op.number)
        elif 0x30 <= atom <= 0x4F:  # lit0 to lit31
            self.stack.append(atom - 0x30)
        elif DW_OP_BREG0 <= atom <= 0x8F:
            self.stack.append((self._register(atom - DW_OP_BREG0) + op.number) & _MASK)
        elif atom == DW_OP_BREGX:
            self.stack.append((self._register(op.number) + op.number2) & _MASK)
        elif atom == DW_OP_CALL_FRAME_CFA:
            if self._cfa is None:
                raise ExpressionError("a DWARF expression for the CFA uses the CFA")
            self.stack.append(self._cfa)
        elif atom in (0x96, DW_OP_STACK_VALUE):  # nop; the caller handles stack_value
            pass
        else:
            self._execute_unary(op)

    def _execute_unary(self, op: Op) -> None:
        atom = op.atom
        if atom == DW_OP_DEREF:
            self.stack.append(self._load(self.pop(), 8))
        elif atom == 0x94:  # deref_size
            if op.number not in (1, 2, 4, 8):
                raise ExpressionError("a DWARF expression loads a word of odd size")
            self.stack.append(self._load(self.pop(), op.number))
        elif atom == DW_OP_PLUS_UCONST:
            self.stack.append((self.pop() + op.number) & _MASK)
        elif atom == 0x12:  # dup
            self._pick(0)
        elif atom == 0x13:  # drop
            self.pop()
        elif atom == 0x14:  # over
            self._pick(1)
        elif atom == 0x15:  # pick
            self._pick(op.number)
        elif atom == 0x16:  # swap
            first, second = self.pop(), self.pop()
            self.stack += [first, second]
        elif atom == 0x17:  # rot
            first, second, third = self.pop(), self.pop(), self.pop()
            self.stack += [first, third, second]
        elif atom in _UNARY:
            self.stack.append(_UNARY[atom](self.pop()) & _MASK)
        else:
            raise ExpressionError(f"DWARF operation {atom:#x} is not known")

    def _pick(self, index: int) -> None:
        if index >= len(self.stack):
            raise ExpressionError("a DWARF expression takes from an empty stack")
        self.stack.append(self.stack[-1 - index])

    def _register(self, number: int) -> int:
        value = self._registers[number] if number < len(self._registers) else None
        if value is None:
            raise ExpressionError(f"register {number} is not known in this frame")
        return value


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise ExpressionError("a DWARF expression divides by zero")
    quotient = abs(signed(left)) // abs(signed(right))
    return quotient if (signed(left) < 0) == (signed(right) < 0) else -quotient


def _modulo(left: int, right: int) -> int:
    if right == 0:
        raise ExpressionError("a DWARF expression divides by zero")
    return left % right


# addr, const1u to const8s, constu, consts: libdw has already sign-extended the operand.
_CONSTANTS = frozenset({0x03, *range(0x08, 0x12)})

_UNARY: dict[int, Callable[[int], int]] = {
    0x19: lambda value: abs(signed(value)),
    0x1F: lambda value: -value,
    0x20: lambda value: ~value,
}

_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda left, right: left & right,
    0x1B: _divide,
    0x1C: lambda left, right: left - right,
    0x1D: _modulo,
    0x1E: lambda left, right: left * right,
    0x21: lambda left, right: left | right,
    0x22: lambda left, right: left + right,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right if right < 64 else 0,
    0x26: lambda left, right: signed(left) >> min(right, 63),
    0x27: lambda left, right: left ^ right,
    0x29: lambda left, right: int(left == right),
    0x2A: lambda left, right: int(signed(left) >= signed(right)),
    0x2B: lambda left, right: int(signed(left) > signed(right)),
    0x2C: lambda left, right: int(signed(left) <= signed(right)),
    0x2D: lambda left, right: int(signed(left) < signed(right)),
    0x2E: lambda left, right: int(left != right),
}
