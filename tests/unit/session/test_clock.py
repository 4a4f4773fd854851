"""Oracle: the time of day of an event, as somebody with a watch would have noted it."""

from __future__ import annotations

import time

import pytest

from tracer.session.clock import Clock, clock_offset_ns

HOUR_NS = 3600 * 10**9


def test_the_clock_is_not_set() -> None:
    """Nothing changes from report to report: receivers take another beginning of a total for a new total."""
    clock = Clock(time.time(), clock_offset_ns())
    assert clock.now() is clock


@pytest.mark.parametrize("moved_ns", [3 * HOUR_NS, -HOUR_NS, 10**9])
def test_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, moved_ns: int) -> None:
    """A host has booted with a wrong time. What was recorded meanwhile is told by the right one."""
    event_ns = time.monotonic_ns()
    clock = Clock(time.time(), clock_offset_ns())
    before = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: before() + moved_ns)
    now = clock.now()
    assert now.started == pytest.approx(clock.started + moved_ns / 1e9, abs=0.1)
    assert event_ns + now.offset_ns == pytest.approx(event_ns + clock.offset_ns + moved_ns, abs=10**8)
    assert now.now() is now
