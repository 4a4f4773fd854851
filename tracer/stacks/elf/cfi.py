"""Call frame information (CFI). One row of libdw's rules is compiled to a value that can be applied many times."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Optional, Union

from tracer.machine import registers as arch
from tracer.stacks.chain import MemoryUnreadable, Row
from tracer.stacks.elf import libdw
from tracer.stacks.elf.expression import (
    DW_OP_BREG0,
    DW_OP_BREGX,
    DW_OP_CALL_FRAME_CFA,
    DW_OP_PLUS_UCONST,
    DW_OP_REG0,
    DW_OP_REGX,
    DW_OP_STACK_VALUE,
    ExpressionError,
    Op,
    evaluate,
    signed,
)

_MASK = (1 << 64) - 1
_MAX_OPS = 512

Registers = Sequence[Optional[int]]


@dataclass(frozen=True)
class RegisterPlus:
    """The CFA is a register plus an offset (bytes). This is by far the most common rule."""

    register: int
    offset: int


@dataclass(frozen=True)
class Expression:
    """A DWARF expression. Its result is the value (``is_value``), or the address of the value."""

    ops: tuple[Op, ...]
    is_value: bool


@dataclass(frozen=True)
class Rule:
    """How to find the caller's registers from code in [start, end), as addresses in the file.

    A register is in at most one of these: ``saved`` (number, offset: its value is in the word at CFA + offset),
    ``values`` (number, offset: its value is CFA + offset), ``copies`` (number, the register that holds its value),
    ``expressions``. All other registers are undefined. ``outermost`` says that the return address is undefined, which
    marks the first frame of a thread (DWARF 5, 6.4.4). ``signal`` marks the frame of a signal trampoline.
    """

    start: int
    end: int
    cfa: Union[RegisterPlus, Expression]
    saved: tuple[tuple[int, int], ...]
    values: tuple[tuple[int, int], ...]
    copies: tuple[tuple[int, int], ...]
    expressions: tuple[tuple[int, Expression], ...]
    return_register: int
    signal: bool
    outermost: bool = False

    @cached_property
    def row(self) -> Optional[Row]:
        """The same as numbers alone, which hold for each call from this place; None if it is more than that."""
        saved, copies = dict(self.saved), dict(self.copies)
        returns, above = saved.pop(arch.RETURN_ADDRESS, None), dict(self.values)
        plain = not self.signal and not self.expressions and self.return_register == arch.RETURN_ADDRESS
        if not plain or returns is None or set(above) != {arch.RSP} or not isinstance(self.cfa, RegisterPlus):
            return None
        if self.cfa.register not in (arch.RSP, *arch.PRESERVED) or arch.RSP in saved:
            return None
        if any(number != source for number, source in copies.items()):
            return None
        lost = tuple(number for number in arch.PRESERVED if number not in saved and number not in copies)
        kept = tuple((number, offset) for number, offset in saved.items() if number in arch.PRESERVED)
        return Row(self.cfa.register, self.cfa.offset, returns, above[arch.RSP], kept, lost)


def apply(rule: Rule, registers: Registers, load: Callable[[int, int], int]) -> tuple[int, list[Optional[int]]]:
    """Compute the CFA and the caller's registers.

    ``load(address, size)`` reads the copied stack. A register whose word cannot be read becomes None. Raises
    MemoryUnreadable if the return address cannot be read, ExpressionError if the CFA is not known.
    """
    cfa = _cfa(rule, registers, load)
    caller: list[Optional[int]] = [None] * arch.REGISTER_COUNT
    for number, source in rule.copies:
        caller[number] = registers[source]
    for number, offset in rule.values:
        caller[number] = (cfa + offset) & _MASK
    for number, offset in rule.saved:
        try:
            caller[number] = load(cfa + offset, 8)
        except MemoryUnreadable:
            if number == rule.return_register:
                raise
    for number, expression in rule.expressions:
        try:
            result = evaluate(expression.ops, registers, cfa, load)
            caller[number] = result if expression.is_value else load(result, 8)
        except (MemoryUnreadable, ExpressionError):
            if number == rule.return_register:
                raise
    if rule.return_register != arch.RETURN_ADDRESS:
        caller[arch.RETURN_ADDRESS] = caller[rule.return_register]
    return cfa, caller


def _cfa(rule: Rule, registers: Registers, load: Callable[[int, int], int]) -> int:
    if isinstance(rule.cfa, Expression):
        return evaluate(rule.cfa.ops, registers, None, load)
    base = registers[rule.cfa.register]
    if base is None:
        raise ExpressionError(f"{arch.REGISTER_NAMES[rule.cfa.register]} was not preserved")
    return (base + rule.cfa.offset) & _MASK


class CfiTable:
    """The CFI of one section of one file, read through libdw. ``bias`` is subtracted from the file's addresses."""

    def __init__(self, handle: int, bias: int) -> None:
        self._libdw = libdw.load()
        self._handle = handle
        self._bias = bias

    def rule(self, address: int) -> Optional[Rule]:
        """Compile the row for the file's ``address``; None if there is no row or libdw cannot read it."""
        frame = ctypes.c_void_p()
        if self._libdw.dwarf_cfi_addrframe(self._handle, (address - self._bias) & _MASK, ctypes.byref(frame)):
            return None
        try:
            return self._compile(frame)
        finally:
            libdw.libc().free(frame)

    def _compile(self, frame: ctypes.c_void_p) -> Optional[Rule]:
        start, end, signal = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_bool()
        return_register = self._libdw.dwarf_frame_info(
            frame, ctypes.byref(start), ctypes.byref(end), ctypes.byref(signal)
        )
        ops, count = ctypes.POINTER(libdw.DwarfOp)(), ctypes.c_size_t()
        if not 0 <= return_register < arch.REGISTER_COUNT:
            return None
        if self._libdw.dwarf_frame_cfa(frame, ctypes.byref(ops), ctypes.byref(count)) or not count.value:
            return None
        collector = _Collector()
        cfa = _compile_cfa(_ops(ops, count.value))
        for number in range(arch.REGISTER_COUNT):
            memory = (libdw.DwarfOp * 3)()
            if self._libdw.dwarf_frame_register(frame, number, memory, ctypes.byref(ops), ctypes.byref(count)):
                continue
            if count.value:
                collector.add(number, _ops(ops, count.value))
            elif not ops:  # same value
                collector.copies.append((number, number))
        return Rule(
            start=start.value + self._bias,
            end=end.value + self._bias,
            cfa=cfa,
            saved=tuple(collector.saved),
            values=tuple(collector.values),
            copies=tuple(collector.copies),
            expressions=tuple(collector.expressions),
            return_register=return_register,
            signal=signal.value,
            outermost=not collector.has(return_register),
        )


class _Collector:
    def __init__(self) -> None:
        self.saved: list[tuple[int, int]] = []
        self.values: list[tuple[int, int]] = []
        self.copies: list[tuple[int, int]] = []
        self.expressions: list[tuple[int, Expression]] = []

    def has(self, number: int) -> bool:
        lists = (self.saved, self.values, self.copies, self.expressions)
        return any(number == entry[0] for entries in lists for entry in entries)

    def add(self, number: int, ops: tuple[Op, ...]) -> None:
        is_value = ops[-1].atom == DW_OP_STACK_VALUE
        body = ops[:-1] if is_value else ops
        offset = _cfa_offset(body)
        if offset is not None:
            (self.values if is_value else self.saved).append((number, offset))
        elif len(body) == 1 and body[0].atom == DW_OP_REGX and body[0].number < arch.REGISTER_COUNT:
            self.copies.append((number, body[0].number))
        elif len(body) == 1 and DW_OP_REG0 <= body[0].atom < DW_OP_REG0 + arch.REGISTER_COUNT:
            self.copies.append((number, body[0].atom - DW_OP_REG0))
        else:
            self.expressions.append((number, Expression(body, is_value)))


def _cfa_offset(ops: tuple[Op, ...]) -> Optional[int]:
    if not ops or ops[0].atom != DW_OP_CALL_FRAME_CFA:
        return None
    if len(ops) == 1:
        return 0
    if len(ops) == 2 and ops[1].atom == DW_OP_PLUS_UCONST:
        return signed(ops[1].number)
    return None


def _compile_cfa(ops: tuple[Op, ...]) -> Union[RegisterPlus, Expression]:
    if len(ops) == 1:
        atom, number, number2, _ = ops[0]
        if atom == DW_OP_BREGX and number < arch.REGISTER_COUNT:
            return RegisterPlus(number, signed(number2))
        if DW_OP_BREG0 <= atom < DW_OP_BREG0 + arch.REGISTER_COUNT:
            return RegisterPlus(atom - DW_OP_BREG0, signed(number))
    return Expression(ops, True)


def _ops(ops: Any, count: int) -> tuple[Op, ...]:
    return tuple(
        Op(ops[index].atom, ops[index].number, ops[index].number2, ops[index].offset)
        for index in range(min(count, _MAX_OPS))
    )
