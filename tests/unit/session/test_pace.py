"""Oracle: the CPU time that a clock moved by hand counts, as a part of the time that passes."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.unit.session.recording import Clock, S, clock
from tracer.session.pace import Pace, share_of

__all__ = ["clock"]


def test_turns_take_no_more_than_their_share(clock: Clock) -> None:
    """Whoever asks ten times a second for a hundred seconds has had one percent of them at most."""
    pace, clock.cpu_step, turns = Pace(0.01), S // 20, 0
    for _ in range(1000):
        clock.now += S // 10
        if pace.due:
            with pace.turn():
                turns += 1
    assert turns == 20  # of 50 ms each


def test_waiting_for_the_cpu_does_not_count(clock: Clock) -> None:
    """A turn in which others had the CPU took this thread nothing."""
    pace = Pace(0.01)
    with pace.turn():
        clock.now += 100 * S
    assert pace.due


def test_a_turn_that_fails_counts(clock: Clock) -> None:
    """What ends by an exception has taken its time as well."""
    pace, clock.cpu_step = Pace(0.1), S
    with pytest.raises(ValueError, match="no"), pace.turn():
        raise ValueError("no")
    clock.now += 10 * S - 1
    assert not pace.due
    clock.now += 1
    assert pace.due


@pytest.mark.parametrize(("percent", "share"), [(None, 0.1), (1.0, 0.001), (5.0, 0.005), (400.0, 0.1)])
def test_the_share_is_a_tenth_of_the_limit(percent: Optional[float], share: float) -> None:
    """And never more than without a limit."""
    assert share_of(percent) == pytest.approx(share)
