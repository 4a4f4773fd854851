"""Idle boxes are read early: code moves, and the pools must not run out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Callable

from tracer.flight.boxes import BoxHeader
from tracer.flight.recorder import Recorder
from tracer.session.allowance import Allowance
from tracer.session.stackstore import StackStore


@dataclass(frozen=True)
class DrainPolicy:
    """How much time goes into boxes that nobody has asked for yet. ``*_ns`` are nanoseconds, ``*_s`` seconds.

    A box is drained once its touch is ``idle_ns`` old, for ``budget_ns`` at each look: a hundredth of a core at the
    usual interval. What a burst needs beyond that is saved up: ``share`` of the time that passes, up to ``saved_ns``,
    half of it for idle boxes, all of it while more than ``full`` of the pools is in use. Nothing is begun for less than
    ``least_ns``. Where the pools are that full, boxes that were idle for ``barely_idle_ns`` are drained, for
    ``turn_ns`` at a time. Whether they are is looked at every ``look_s``, and every ``pressed_s`` while there is more
    to do.
    """

    idle_ns: int = 1_000_000_000
    budget_ns: int = 10_000_000
    least_ns: int = 1
    share: float = 0.02
    saved_ns: int = 2_000_000_000
    full: float = 0.5
    barely_idle_ns: int = 50_000_000
    turn_ns: int = 100_000_000
    look_s: float = 0.1
    pressed_s: float = 0.01


USUAL = DrainPolicy()


def of_months(share: float) -> DrainPolicy:
    """For a run of months: nothing beyond ``share`` of one CPU.

    Connections that are kept open and used every few seconds are idle, too, again and again. To find out which boxes
    were written takes its time as well: so it is done more seldom.
    """
    return replace(USUAL, budget_ns=0, least_ns=USUAL.turn_ns // 2, share=share)


class Drain:
    """Unwinds the boxes of sockets that lie idle, the oldest first, within what ``policy`` allows.

    ``clock`` tells what is spent, in ns.
    """

    def __init__(
        self,
        recorder: Recorder,
        stacks: StackStore,
        policy: DrainPolicy = USUAL,
        clock: Callable[[], int] = lambda: time.monotonic_ns(),
    ) -> None:
        self._recorder, self._stacks, self._policy, self._clock = recorder, stacks, policy, clock
        self._waiting: dict[int, BoxHeader] = {}
        self._allowance = Allowance(policy.share, policy.saved_ns, time.monotonic_ns())

    def allow(self, share: float) -> None:
        """Another part of one CPU from now on."""
        self._allowance.share = share

    def idle(self) -> None:
        """To be called at each look: the sooner an old box is read, the less of its code has moved."""
        policy = self._policy
        saved = self._allowance.left_ns(time.monotonic_ns()) - policy.saved_ns // 2
        budget_ns = max(policy.budget_ns, min(saved, policy.turn_ns))
        if budget_ns >= policy.least_ns:
            begun = self._clock()
            self._drain(budget_ns, policy.idle_ns)
            self._allowance.spend(max(0, self._clock() - begun - policy.budget_ns))

    def relieve(self) -> bool:
        """Make room for stacks where they come faster than once a look; whether there is more to do at once."""
        policy = self._policy
        left = min(self._allowance.left_ns(time.monotonic_ns()), policy.turn_ns)
        # To look for boxes takes its time, too: not for a small rest.
        if left < policy.turn_ns // 2 or self._recorder.boxes_used <= policy.full:
            return False
        begun = self._clock()
        more = self._drain(left, policy.barely_idle_ns)
        self._allowance.spend(self._clock() - begun)
        return more

    def _drain(self, budget_ns: int, idle_ns: int) -> bool:
        """Drain what has been idle for so long; whether ``budget_ns`` was too little for all.

        The oldest first: they are the likeliest to stay, and the likeliest to have their code moved under them.
        """
        now, begun = time.monotonic_ns(), self._clock()
        until = now + budget_ns
        if not self._recorder.boxes_out:
            self._waiting.clear()
            return False
        for box in sorted(self._recorder.written(), key=attrgetter("ns")):
            self._waiting.pop(box.handle, None)  # to the end: the order is that of the touches
            self._waiting[box.handle] = box
        for box in list(self._waiting.values()):
            if now - box.ns <= idle_ns:
                return False
            if (
                time.monotonic_ns() > until
            ):  # no more can be spent than the time that passed: so the clock is read seldom
                spent = self._clock() - begun
                if spent >= budget_ns:
                    return True
                until = time.monotonic_ns() + budget_ns - spent
            if self._drain_one(box):
                del self._waiting[box.handle]
        return False

    def _drain_one(self, header: BoxHeader) -> bool:
        """Whether the box is done with; not if a thread was just touching the socket."""
        box = self._recorder.box(header.handle) if self._recorder.owns(header) else None
        if box is None or box[0] != header or not box[1].stack:
            return True
        return self._stacks.replace_box(header, self._stacks.unwind(box[1]))
