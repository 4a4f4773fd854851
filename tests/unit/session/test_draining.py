"""Idle boxes are read in time, the oldest first, within the time that may be spent on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.session.offers import as_recorder, as_service
from tests.unit.session.recording import Clock, FakeRecorder, FakeService, S, clock
from tracer.session.draining import USUAL, Drain, DrainPolicy, of_months
from tracer.session.stackstore import StackStore

__all__ = ["clock"]


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def draining(recorder: FakeRecorder, service: FakeService, policy: DrainPolicy = USUAL) -> Drain:
    stacks = StackStore(as_recorder(recorder), as_service(service))
    return Drain(as_recorder(recorder), stacks, policy)


def test_only_idle_boxes_are_drained(recorder: FakeRecorder, service: FakeService, clock: Clock) -> None:
    """A socket in use keeps its box: it is about to be overwritten anyway."""
    recorder.touch(recorder.add(1, 10), "last", clock.now - USUAL.idle_ns - 1, box=1)
    recorder.touch(recorder.add(2, 10), "last", clock.now - USUAL.idle_ns + 1, box=2)
    draining(recorder, service).idle()
    assert recorder.freed == [1]


def test_draining_keeps_to_its_budget_and_begins_with_the_oldest(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """What is left over is taken up at the next look."""
    for sk in range(1, 11):
        recorder.touch(recorder.add(sk, 10), "last", clock.now - (10 + sk) * S, box=sk)
    clock.step = 1_000_000
    drain = draining(recorder, service, replace(USUAL, budget_ns=3_500_000, saved_ns=0))
    drain.idle()
    left = 10 - len(recorder.freed)
    assert 0 < left < 10
    assert recorder.freed == list(range(10, left, -1))
    clock.step = 0
    drain.idle()
    assert sorted(recorder.freed) == list(range(1, 11))


def test_draining_looks_at_a_box_once(recorder: FakeRecorder, service: FakeService, clock: Clock) -> None:
    """A box whose record is gone is not asked for again, until it is written again."""
    recorder.touch(recorder.add(1, 10), "last", clock.now - 5 * S, box=1)
    gone = recorder.records.pop(1)
    drain = draining(recorder, service)
    for _ in range(3):
        drain.idle()
    assert service.asked == []
    recorder.records[1] = gone
    recorder.versions[1] += 2
    drain.idle()
    assert recorder.freed == [1]


def test_an_address_that_was_used_again_is_not_drained(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """The record at that address is of another socket: its touches are none of this box's."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", clock.now - 5 * S, box=1)
    record.birth_ns = 11
    draining(recorder, service).idle()
    assert service.asked == []
    assert recorder.freed == []


def busy(recorder: FakeRecorder, clock: Clock, boxes: int, pool: int) -> None:
    recorder.pool = pool
    for sk in range(1, boxes + 1):
        recorder.touch(recorder.add(sk, 10), "last", clock.now - S // 10, box=sk)


def test_a_pool_that_fills_up_is_emptied_before_its_boxes_are_a_second_old(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """Below half of it nothing is done."""
    busy(recorder, clock, boxes=6, pool=13)
    drain = draining(recorder, service)
    assert not drain.relieve()
    assert recorder.freed == []
    recorder.pool = 8
    assert not drain.relieve()
    assert sorted(recorder.freed) == [1, 2, 3, 4, 5, 6]


def test_emptying_the_pool_takes_two_seconds_at_most_then_a_fiftieth_of_the_time(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """Sockets that are always in use would fill it again and again."""
    busy(recorder, clock, boxes=100_000, pool=100_000)
    drain = draining(recorder, service)
    clock.step = S // 1000
    spent = 0
    for _ in range(100):
        before = clock.now
        if not drain.relieve():
            break
        spent += clock.now - before
    assert 2 * S <= spent <= 2.3 * S
    drained = len(recorder.freed)
    clock.now += 10 * S
    before = clock.now
    drain.relieve()
    assert 0 < clock.now - before <= 0.3 * S
    assert len(recorder.freed) > drained


def test_old_boxes_take_half_of_what_is_saved_then_a_hundredth_of_a_core(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """The other half is left for a burst."""
    busy(recorder, clock, boxes=10_000, pool=100_000)
    drain = draining(recorder, service)
    clock.now += 2 * S
    clock.step = S // 1000
    for _ in range(20):
        drain.idle()
    assert 900 <= len(recorder.freed) <= 1500
    before = len(recorder.freed)
    drain.idle()
    assert 5 <= len(recorder.freed) - before <= 15


def test_a_run_of_months_spends_its_share_and_no_more(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """Connections that are used every few seconds are idle again and again. What is spent is CPU time, not time."""
    busy(recorder, clock, boxes=10_000, pool=100_000)
    stacks = StackStore(as_recorder(recorder), as_service(service))
    drain = Drain(as_recorder(recorder), stacks, of_months(0.003), lambda: clock.now // 2)
    clock.now += 2 * S
    clock.step = S // 1000  # a box takes one step, and half of the time is CPU time
    for _ in range(20):
        drain.idle()
    first = len(recorder.freed)
    assert first > 500  # what is saved from the start
    for _ in range(1000):
        clock.now += S
        drain.idle()
    assert 4 <= (len(recorder.freed) - first) / 1000 <= 6
