"""Finds the caller's registers without CFI, by reading a function's instructions up to its ``ret``: its way out.

After the return address the function will restore its stack and return. All paths to ``ret`` must restore the same
stack, so one path is enough to find the rule. The path with the fewest calls is taken: a call that never returns
(abort, __stack_chk_fail) would continue in the code of another function. musl has no CFI and is unwound this way.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Callable, Optional

from tracer.machine import registers as arch
from tracer.machine.decoder import LONGEST_INSTRUCTION, Instruction, Kind, decode
from tracer.stacks.chain import MemoryUnreadable
from tracer.stacks.elf.cfi import RegisterPlus, Rule

_MAX_INSTRUCTIONS = 3000
_MAX_DEPTH = 1 << 24
_MAX_AHEAD = 4
_LOST = (-1, 0)


@dataclass(frozen=True)
class WayOut:
    """``rule`` is valid only at the address that was asked for. ``calls``: number of calls on the path to ``ret``."""

    rule: Rule
    calls: int


@dataclass(frozen=True)
class _State:
    address: int
    base: int
    offset: int
    saved: dict[int, tuple[int, int]]
    """Registers that changed on the way: number to the place (base, offset) of the value, _LOST if it is not known."""
    pushed: dict[int, tuple[int, Optional[tuple[int, int]]]]
    """What a function pushes that the code jumps to: offset from rsp to (register, its place before the push)."""


def find(address: int, text: Callable[[int, int], bytes]) -> Optional[WayOut]:
    """Find the way out from ``address``; None if there is none. ``text(address, size)`` may raise MemoryUnreadable."""
    queue: list[tuple[int, int, _State]] = [(0, 0, _State(address, arch.RSP, 0, {}, {}))]
    seen: set[int] = set()
    serial = 0
    for _ in range(_MAX_INSTRUCTIONS):
        if not queue:
            return None
        calls, _, state = heapq.heappop(queue)
        if state.address in seen:
            continue
        seen.add(state.address)
        instruction = _read(state.address, text)
        if instruction is None or instruction.kind is Kind.DEAD_END:
            continue
        if instruction.kind is Kind.RETURN:
            rule = _rule(address, state, instruction.value)
            if rule is not None:
                return WayOut(rule, calls)
            continue
        for following in _followers(state, instruction):
            serial += 1
            heapq.heappush(queue, (calls + (instruction.kind is Kind.CALL), serial, following))
    return None


def call_ahead(address: int, text: Callable[[int, int], bytes]) -> Optional[int]:
    """Find the target of a direct call within the next few instructions at ``address``; None if a jump comes first."""
    for _ in range(_MAX_AHEAD):
        instruction = _read(address, text)
        if instruction is None or instruction.kind not in (Kind.OTHER, Kind.CALL):
            return None
        address += instruction.length
        if instruction.kind is Kind.CALL:
            return address + instruction.value if instruction.value else None
    return None


def _read(address: int, text: Callable[[int, int], bytes]) -> Optional[Instruction]:
    for size in (LONGEST_INSTRUCTION, arch.PAGE_SIZE - address % arch.PAGE_SIZE):
        try:
            return decode(text(address, size))
        except MemoryUnreadable:  # perhaps only the next page is unreadable
            continue
    return None


def _followers(state: _State, instruction: Instruction) -> list[_State]:
    after = state.address + instruction.length
    if instruction.kind is Kind.JUMP:
        return [replace(state, address=after + instruction.value)]
    if instruction.kind is Kind.BRANCH:
        return [replace(state, address=after), replace(state, address=after + instruction.value)]
    changed = _executed(state, instruction)
    if changed is None or abs(changed.offset) > _MAX_DEPTH:
        return []
    return [replace(changed, address=after)]


def _executed(state: _State, instruction: Instruction) -> Optional[_State]:
    """Apply the instruction to the stack pointer and to the registers that it loads from the stack."""
    kind, register, base, offset = instruction.kind, instruction.register, state.base, state.offset
    if kind is Kind.PUSH:
        pushed = state.pushed
        if base == arch.RSP:
            pushed = {**pushed, offset - 8: (register, state.saved.get(register))}
        return replace(state, offset=offset - 8, pushed=pushed)
    if kind is Kind.ADJUST:
        return replace(state, offset=offset + instruction.value)
    if kind is Kind.POP:
        if register == arch.RSP:
            return None
        return replace(state, offset=offset + 8, saved=_loaded(state, register, (base, offset)))
    if kind is Kind.LEAVE or kind is Kind.FROM_RBP:
        if arch.RBP in state.saved:
            return None
        if kind is Kind.FROM_RBP:
            return replace(state, base=arch.RBP, offset=instruction.value)
        return replace(state, base=arch.RBP, offset=8, saved={**state.saved, arch.RBP: (arch.RBP, 0)})
    if kind is Kind.LOAD:
        if instruction.base == arch.RSP:
            return replace(state, saved=_loaded(state, register, (base, offset + instruction.value)))
        if arch.RBP not in state.saved:
            return replace(state, saved={**state.saved, register: (arch.RBP, instruction.value)})
    return state


def _loaded(state: _State, register: int, place: tuple[int, int]) -> dict[int, tuple[int, int]]:
    """Note that ``register`` is loaded from ``place``: a word of the stack, or one that the code itself pushed."""
    if place[0] != arch.RSP or (place[1] >= 0 and place[1] not in state.pushed):
        return {**state.saved, register: place}
    pushed, before = state.pushed.get(place[1], (-1, None))
    if pushed != register:
        return {**state.saved, register: _LOST}
    if before is not None:
        return {**state.saved, register: before}
    return {number: where for number, where in state.saved.items() if number != register}


def _rule(address: int, state: _State, dropped: int) -> Optional[Rule]:
    size = state.offset + 8
    if state.base == arch.RSP and size <= 0:
        return None
    saved = {
        number: place[1] - size
        for number, place in state.saved.items()
        if number in arch.PRESERVED and place[0] == state.base
    }
    lost = {number for number, place in state.saved.items() if place[0] != state.base}
    return Rule(
        start=address,
        end=address + 1,
        cfa=RegisterPlus(state.base, size),
        saved=(*sorted(saved.items()), (arch.RETURN_ADDRESS, -8)),
        values=((arch.RSP, dropped),),
        copies=tuple((number, number) for number in arch.PRESERVED if number not in saved and number not in lost),
        expressions=(),
        return_register=arch.RETURN_ADDRESS,
        signal=False,
    )
