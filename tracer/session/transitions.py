"""State transitions as they happen, in batches: what `tail` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from tracer.flight.transitions import Raw
from tracer.model.finding import Streamed, Unconfined, Unread
from tracer.model.frame import Stack
from tracer.session.attached import Attached
from tracer.session.stackstore import StackStore
from tracer.session.stopping import Stop
from tracer.session.unread import unconfined, unread
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.service import StackService
from tracer.trail import Took, Trail

_log = Trail(__name__)

_POLL_MS, _GATHER_S = 100, 0.025


@dataclass(frozen=True)
class Batch:
    """Some transitions, oldest first. After them ``lost`` transitions are missing."""

    events: Sequence[Raw]
    lost: int


class Transitions:
    """Reads the transitions of one session."""

    def __init__(self, run: Attached) -> None:
        self._recorder, self._members = run.recorder, run.members
        self._keeper = Keeper()
        self._service = StackService(walker=self._keeper, last_exec=run.recorder.last_exec)
        self._stacks = StackStore(self._recorder, self._service)
        self._shown = self._lost = 0

    def until(self, stop: Stop) -> Iterator[Batch]:
        """Yield batches until ``stop`` is over, then detach and yield the rest."""
        stop.begin()
        self._keeper.use_hurry(lambda: stop.asked)
        try:
            while not stop.over():
                self._recorder.wait_for_events(_POLL_MS)
                self._members.look_for_programs()
                # Wait for more transitions: to wake up for each one costs more than to print it.
                time.sleep(_GATHER_S)
                yield self._batch()
            self._recorder.stop()
            while (rest := self._batch()).events:
                yield rest
        finally:
            self._service.close()

    def _batch(self) -> Batch:
        took = Took()
        events = self._recorder.events()
        before, self._lost = self._lost, self._recorder.events_lost
        self._shown += len(events)
        if events:
            _log.debug(
                "look: %d transitions read in %s; %d boxes unwound so far", len(events), took, self._stacks.unwound
            )
        return Batch(events, self._lost - before)

    def stack(self, box: int) -> Optional[Stack]:
        """Return the stack in a transition's box and free the box. None if the stack cannot be read."""
        return self._stacks.resolve_event(box)

    def total(self) -> Streamed:
        """Return the totals. Call it after the last batch."""
        losses = self._recorder.losses()
        produced = self._recorder.events_produced
        return Streamed(produced, self._shown, losses.events, losses.records, losses.nested, self._keeper.unserved)

    def not_read(self) -> tuple[Sequence[Unread], Sequence[Unconfined]]:
        """What was not read, and what is not confined. Call it after the last batch."""
        return unread(self._keeper), unconfined(self._keeper)
