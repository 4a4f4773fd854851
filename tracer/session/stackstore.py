"""Boxes become stacks here, each distinct one once; idle boxes are read early, because code moves."""

from __future__ import annotations

import time
from operator import attrgetter
from typing import Any, Optional

from tracer.flight.boxes import SlotHeader
from tracer.flight.decode import no_stack_reason
from tracer.flight.recorder import Recorder
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.service import StackService

IDLE_NS = 1_000_000_000
_MAX_STACKS = 65_536
TORN = "the stack was overwritten while it was read"
"""Of a touch that a newer one followed at that very moment: reading the record again gives the newer one."""


class StackStore:
    """Stacks by number. A box that has been unwound is replaced by its stack's number in the record."""

    def __init__(self, recorder: Recorder, service: StackService) -> None:
        self._recorder, self._service = recorder, service
        self._numbers: dict[Stack, int] = {}
        self._by_identity: dict[int, int] = {}
        self._stacks: list[Stack] = [Stack((), False, "no stack")]
        self._waiting: dict[int, SlotHeader] = {}

    @property
    def unwound(self) -> int:
        """How many boxes were unwound so far."""
        return self._service.unwound

    def _number(self, stack: Stack) -> int:
        # Mostly it is the very object that was met before; only a new one is worth hashing all its frames.
        number = self._by_identity.get(id(stack))
        if number is not None and self._stacks[number] is stack:
            return number
        number = self._numbers.get(stack)
        if number is None:
            number = self._numbers[stack] = self._by_identity[id(stack)] = len(self._stacks)
            self._stacks.append(stack)
        return number

    def _unwound(self, record: Any, touch: Any) -> tuple[Optional[SlotHeader], Optional[Stack], Optional[str]]:
        """Of a touch with a box: the slot with its stack, or why there is none."""
        got = self._recorder.box(touch.box - 1)
        if got is None:
            return None, None, TORN
        slot, box = got
        if (slot.sk, slot.birth_ns, slot.touch_seq) != (record.sk, record.birth_ns, touch.seq):
            return None, None, TORN
        if not box.stack:
            return None, None, "the stack was not in memory"
        return slot, self._service.unwind(box), None

    def resolve(self, record: Any, touch: Any) -> tuple[Optional[Stack], Optional[str]]:
        """The stack of a live record's touch; its box is given back to the kernel side once it is read."""
        if touch.stack:
            return self._stacks[touch.stack], None
        if not touch.box:
            return None, no_stack_reason(touch.flags)
        slot, stack, note = self._unwound(record, touch)
        if slot is not None and stack is not None:
            self._replace_box(slot, stack)
        return stack, note

    def _replace_box(self, slot: SlotHeader, stack: Stack) -> bool:
        """Give the box back; False if a thread was just touching the socket."""
        if len(self._stacks) >= _MAX_STACKS and stack not in self._numbers:
            return True  # code that is ever new: its stacks stay in their boxes
        return self._recorder.replace_box(slot, self._number(stack))

    def resolve_owned(self, record: Any, touch: Any) -> tuple[Optional[Stack], Optional[str]]:
        """The stack of a touch of a record that ended: its boxes came along, and are freed here."""
        if touch.stack:
            return self._stacks[touch.stack], None
        if not touch.box:
            return None, no_stack_reason(touch.flags)
        _, stack, note = self._unwound(record, touch)
        self._recorder.give_back(touch.box - 1)
        return stack, note

    def resolve_event(self, slot: int) -> Optional[Stack]:
        """The stack of a transition, whose box is freed here."""
        got = self._recorder.box(slot)
        self._recorder.give_back(slot)
        return self._service.unwind(got[1]) if got is not None and got[1].stack else None

    def unwind(self, box: BlackBox) -> Stack:
        """The stack of a box that is no touch's: a thread that waits inside a call now."""
        return self._service.unwind(box)

    def drain(self, budget_ns: int, idle_ns: int = IDLE_NS) -> bool:
        """Unwind boxes of sockets that have been idle for a while; whether ``budget_ns`` was too little for all.

        The oldest first: they are the likeliest to stay, and the likeliest to have their code moved under them.
        """
        now = time.monotonic_ns()
        if not self._recorder.boxes_out:
            self._waiting.clear()
            return False
        for slot in sorted(self._recorder.written(), key=attrgetter("ns")):
            self._waiting.pop(slot.slot, None)  # to the end: the order is that of the touches
            self._waiting[slot.slot] = slot
        for slot in list(self._waiting.values()):
            if now - slot.ns <= idle_ns:
                return False
            if time.monotonic_ns() - now > budget_ns:
                return True
            if self._drain_one(slot):
                del self._waiting[slot.slot]
        return False

    def _drain_one(self, slot: SlotHeader) -> bool:
        """Whether the slot is done with; not if a thread was just touching the socket."""
        got = self._recorder.box(slot.slot) if self._recorder.owns(slot) else None
        if got is None or got[0] != slot or not got[1].stack:
            return True
        return self._replace_box(slot, self._service.unwind(got[1]))
