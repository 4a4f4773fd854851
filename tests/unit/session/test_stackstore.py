"""Boxes become stacks: each once, in time, and never of another socket."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.session.recording import Clock, FakeRecorder, FakeService, S, clock, path
from tracer.flight import layout
from tracer.flight.recorder import Recorder
from tracer.session.stackstore import IDLE_NS, StackStore
from tracer.stacks.service import StackService

__all__ = ["clock"]


def store(recorder: FakeRecorder, service: FakeService) -> StackStore:
    return StackStore(cast(Recorder, recorder), cast(StackService, service))


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def test_a_box_is_unwound_once_and_given_back(recorder: FakeRecorder, service: FakeService) -> None:
    """After the first look the record holds the stack's number, and the slot is free again."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, slot=3, path="a<b<main")
    stacks = store(recorder, service)
    first, note = stacks.resolve(record, record.last)
    assert (path(first), note) == ("a<b<main", None)
    assert recorder.freed == [3]
    assert record.last.box == 0
    second, _ = stacks.resolve(record, record.last)
    assert second is first
    assert len(service.asked) == 1


def test_identical_stacks_have_one_number(recorder: FakeRecorder, service: FakeService) -> None:
    """A thousand sockets of one call path are one stack."""
    stacks = store(recorder, service)
    for sk in range(1, 1001):
        recorder.touch(recorder.add(sk, 10), "last", 20, slot=sk, path=("one", "two", "three")[sk % 3])
    for record in recorder.records.values():
        stacks.resolve(record, record.last)
    assert {record.last.stack for record in recorder.records.values()} == {1, 2, 3}


@pytest.mark.parametrize("field", ["sk", "birth_ns", "touch_seq"])
def test_a_box_of_another_socket_is_never_attributed(recorder: FakeRecorder, service: FakeService, field: str) -> None:
    """Address, birth and touch must all agree; else there is no stack, and a reason."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, slot=0)
    setattr(recorder.boxes[0][0], field, 999)
    stacks = store(recorder, service)
    for resolve in (stacks.resolve, stacks.resolve_owned):
        stack, note = resolve(record, record.last)
        assert stack is None
        assert note is not None
        assert "overwritten" in note
    assert service.asked == []


def test_a_torn_box_is_no_stack(recorder: FakeRecorder, service: FakeService) -> None:
    """A box that is written again and again while it is read is left alone, and stays with its touch."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, slot=0)
    recorder.boxes.clear()
    stack, note = store(recorder, service).resolve(record, record.last)
    assert stack is None
    assert note
    assert recorder.freed == []


def test_an_empty_box_says_that_the_stack_was_not_in_memory(recorder: FakeRecorder, service: FakeService) -> None:
    """Zero bytes copied: swapped out, or a stack pointer that points nowhere."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, slot=0, path="")
    assert store(recorder, service).resolve(record, record.last) == (None, "the stack was not in memory")


def test_touched_again_while_it_was_unwound(recorder: FakeRecorder, service: FakeService) -> None:
    """The stack that was read is still that of the touch that was read; the newer touch keeps its box."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, slot=0, path="old")
    seen = recorder.record(1)
    assert seen is not None
    record.last.seq += 1
    stack, _ = store(recorder, service).resolve(seen, seen.last)
    assert path(stack) == "old"
    assert record.last.box == 1
    assert recorder.freed == []


def test_boxes_of_an_ending_are_freed_whether_or_not_they_can_be_read(
    recorder: FakeRecorder, service: FakeService
) -> None:
    """A record that ended owns its boxes no more once they have been looked at."""
    record = recorder.add(1, 10)
    recorder.touch(record, "opened", 11, slot=4)
    recorder.touch(record, "last", 20, slot=5)
    del recorder.boxes[5]
    stacks = store(recorder, service)
    for which in ("opened", "last", "eof", "ending"):
        stacks.resolve_owned(record, getattr(record, which))
    assert sorted(recorder.freed) == [4, 5]


def test_an_events_box_is_freed(recorder: FakeRecorder, service: FakeService) -> None:
    """The transition's stack is unwound and its slot returned, also if it cannot be read."""
    recorder.touch(recorder.add(1, 10), "ending", 20, slot=6, path="closer")
    stacks = store(recorder, service)
    assert path(stacks.resolve_event(6)) == "closer"
    assert stacks.resolve_event(7) is None
    assert recorder.freed == [6, 7]


@pytest.mark.usefixtures("clock")
def test_only_idle_boxes_are_drained(recorder: FakeRecorder, service: FakeService, clock: Clock) -> None:
    """A socket in use keeps its box: it is about to be overwritten anyway."""
    recorder.touch(recorder.add(1, 10), "last", clock.now - IDLE_NS - 1, slot=0)
    recorder.touch(recorder.add(2, 10), "last", clock.now - IDLE_NS + 1, slot=1)
    assert not store(recorder, service).drain(S)
    assert recorder.freed == [0]


def test_draining_keeps_to_its_budget_and_begins_with_the_oldest(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """What is left over is told, and is taken up at the next call."""
    for sk in range(1, 11):
        recorder.touch(recorder.add(sk, 10), "last", clock.now - (10 + sk) * S, slot=sk)
    clock.step = 1_000_000
    stacks = store(recorder, service)
    assert stacks.drain(3_500_000)
    left = 10 - len(recorder.freed)
    assert 0 < left < 10
    assert recorder.freed == list(range(10, left, -1))
    clock.step = 0
    assert not stacks.drain(S)
    assert sorted(recorder.freed) == list(range(1, 11))


def test_draining_looks_at_a_box_once(recorder: FakeRecorder, service: FakeService, clock: Clock) -> None:
    """A box whose record is gone is not asked for again, until it is written again."""
    recorder.touch(recorder.add(1, 10), "last", clock.now - 5 * S, slot=0)
    gone = recorder.records.pop(1)
    stacks = store(recorder, service)
    for _ in range(3):
        stacks.drain(S)
    assert service.asked == []
    recorder.records[1] = gone
    recorder.versions[0] += 2
    stacks.drain(S)
    assert recorder.freed == [0]


def test_an_address_that_was_used_again_is_not_drained(
    recorder: FakeRecorder, service: FakeService, clock: Clock
) -> None:
    """The record at that address is of another socket: its touches are none of this box's."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", clock.now - 5 * S, slot=0)
    record.birth_ns = 11
    store(recorder, service).drain(S)
    assert service.asked == []
    assert recorder.freed == []


operations = st.lists(
    st.tuples(
        st.sampled_from(["touch", "drain", "resolve", "end", "reuse"]),
        st.integers(1, 3),
        st.sampled_from(["opened", "last", "eof", "ending"]),
    ),
    max_size=40,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
@pytest.mark.usefixtures("clock")
def test_no_order_of_events_mixes_sockets_up_or_frees_twice(clock: Clock, steps: list[tuple[str, int, str]]) -> None:
    """Whatever happens when: a stack spells the socket, birth and touch it is shown for; no slot is freed twice."""
    recorder, service = FakeRecorder(), FakeService()
    stacks = store(recorder, service)
    free, births = list(range(64)), 0
    for action, sk, which in steps:
        clock.now += 2 * S
        record = recorder.records.get(sk)
        if record is None:
            births += 1
            record = recorder.add(sk, births)
        touch = getattr(record, which)
        if action == "touch":
            slot = touch.box - 1 if touch.box else free.pop()
            seq = touch.seq + 1
            recorder.touch(record, which, clock.now, slot, f"{sk}<{record.birth_ns}<{which}<{seq}", seq)
            touch.stack = 0
        elif action == "drain":
            stacks.drain(S)
        elif action == "resolve":
            found, _ = stacks.resolve(record, touch)
            assert path(found) in ("", f"{sk}<{record.birth_ns}<{which}<{touch.seq}")
        else:
            ended = recorder.records.pop(sk)
            for name in layout.WHICH:
                found, _ = stacks.resolve_owned(ended, getattr(ended, name))
                expected = f"{sk}<{ended.birth_ns}<{name}<{getattr(ended, name).seq}"
                assert path(found) == (expected if getattr(ended, name).ns else "")
        free += recorder.freed
        recorder.freed.clear()
        assert len(free) == len(set(free))
