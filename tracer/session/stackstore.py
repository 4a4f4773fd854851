"""Boxes become stacks here: those of live records, of endings, of transitions, and of threads that wait in a call."""

from __future__ import annotations

from typing import Callable, Optional

from tracer.flight.boxes import BoxHeader
from tracer.flight.consistent import Flight
from tracer.flight.decode import Call, StackOrReason
from tracer.flight.recorder import Recorder
from tracer.model.frame import BlackBox, Stack
from tracer.stacks.service import StackService
from tracer.stacks.table import StackTable

TORN = "the stack was overwritten while it was read"
"""Of a socket that is touched again and again: its newest touch could not be read together with its box."""
FORGOTTEN = "the stack was released to keep memory bounded"
_ENDLESS_STACKS = 4096
"""A stack takes about 6 KB."""


class StackStore:
    """Stacks by number. A box that has been unwound is replaced by its stack's number in the record.

    ``between`` is called before each box: thousands take seconds.
    """

    def __init__(
        self,
        recorder: Recorder,
        service: StackService,
        *,
        endless: bool = False,
        between: Callable[[], object] = lambda: None,
    ) -> None:
        self._recorder, self._service, self._between = recorder, service, between
        self._table = StackTable(_ENDLESS_STACKS) if endless else StackTable()

    @property
    def unwound(self) -> int:
        """How many boxes were unwound so far."""
        return self._service.unwound

    def resolve(self, flight: Flight, calls: dict[str, Call]) -> dict[str, StackOrReason]:
        """The stacks of a record's ``calls``, by the same names.

        The boxes are given back: by the record's owner, the kernel side, as long as the socket lives; else from here.
        """
        return {name: self._resolve(flight, call) for name, call in calls.items()}

    def _resolve(self, flight: Flight, call: Call) -> StackOrReason:
        if call.stack:
            return self._numbered(call.stack)
        if not call.box:
            return None, call.no_stack()
        found = self._unwound(flight, call)
        if flight.ended:
            self._recorder.give_back(call.box)
        return found

    def _numbered(self, number: int) -> StackOrReason:
        try:
            return self._table.numbered(number), None
        except KeyError:
            return None, FORGOTTEN

    def tidy(self, take_endings: Callable[[], object]) -> int:
        """Release the stacks that no record has any more, if numbers run short. Returns how many.

        A record may end while the records are read. It is then in the ring buffer, and ``take_endings`` takes it from
        there before its stacks are released.
        """
        if not self._table.is_filling:
            return 0
        newest = self._table.newest
        used = self._recorder.stacks_in_use()
        take_endings()
        return self._table.release(used, newest)

    def _unwound(self, flight: Flight, call: Call) -> StackOrReason:
        box = flight.boxes.get(call.box)
        if box is None:
            return None, TORN
        header, content = box
        if not content.stack:
            return None, "the stack was not in memory"
        stack = self.unwind(content)
        if not flight.ended:
            self.replace_box(header, stack)
        return stack, None

    def replace_box(self, box: BoxHeader, stack: Stack) -> bool:
        """Have the kernel side put the stack's number in place of a box; False if a thread was touching the socket.

        Where code is ever new its stacks have no numbers, and stay in their boxes.
        """
        number = self._table.number(stack)
        return number is None or self._recorder.replace_box(box, number)

    def resolve_event(self, handle: int) -> Optional[Stack]:
        """The stack of a transition, whose box is freed here; None if there is none in it."""
        box = self._recorder.box(handle)
        self._recorder.give_back(handle)
        return self.unwind(box[1]) if box is not None and box[1].stack else None

    def unwind(self, box: BlackBox) -> Stack:
        """The stack of a box, whoever's it is."""
        self._between()
        return self._table.one(self._service.unwind(box))
