"""Boxes become stacks: each once, and never of another socket."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.session.offers import as_recorder, as_service
from tests.unit.session.recording import Clock, FakeRecorder, FakeService, S, clock, path
from tracer.flight import layout
from tracer.flight.consistent import Flight, ended
from tracer.flight.decode import StackOrReason, decode
from tracer.session.draining import Drain
from tracer.session.stackstore import FORGOTTEN, StackStore

__all__ = ["clock"]


def store(recorder: FakeRecorder, service: FakeService) -> StackStore:
    return StackStore(as_recorder(recorder), as_service(service))


def resolved(stacks: StackStore, flight: Flight) -> dict[str, StackOrReason]:
    return stacks.resolve(flight, decode(flight.record, 1000, flight.ended).calls)


def looked_at(stacks: StackStore, recorder: FakeRecorder, sk: int) -> dict[str, StackOrReason]:
    """The stacks of a live record, read now."""
    flight = recorder.flight(sk)
    assert flight is not None
    return resolved(stacks, flight)


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def test_a_box_is_unwound_once_and_given_back(recorder: FakeRecorder, service: FakeService) -> None:
    """After the first look the record holds the stack's number, and the box is free again."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, box=3, path="a<b<main")
    stacks = store(recorder, service)
    first, note = looked_at(stacks, recorder, 1)["last"]
    assert (path(first), note) == ("a<b<main", None)
    assert recorder.freed == [3]
    assert record.last.box == 0
    second, _ = looked_at(stacks, recorder, 1)["last"]
    assert second is first
    assert len(service.asked) == 1


def test_identical_stacks_have_one_number(recorder: FakeRecorder, service: FakeService) -> None:
    """A thousand sockets of one call path are one stack."""
    stacks = store(recorder, service)
    for sk in range(1, 1001):
        recorder.touch(recorder.add(sk, 10), "last", 20, box=sk, path=("one", "two", "three")[sk % 3])
        looked_at(stacks, recorder, sk)
    assert {record.last.stack for record in recorder.records.values()} == {1, 2, 3}


@pytest.mark.parametrize("field", ["sk", "birth_ns", "ns", "touch_seq"])
@pytest.mark.parametrize("over", [False, True])
def test_a_box_of_another_touch_is_never_attributed(
    recorder: FakeRecorder, service: FakeService, field: str, over: bool
) -> None:
    """Address, birth, time and number of the touch must all agree; else there is no stack, and a reason."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, box=1)
    setattr(recorder.boxes[1][0], field, 999)
    stacks = store(recorder, service)
    flight = ended(bytes(record), recorder.box) if over else recorder.flight(1)
    assert flight is not None
    stack, note = resolved(stacks, flight)["last"]
    assert stack is None
    assert note is not None
    assert "overwritten" in note
    assert service.asked == []
    assert recorder.freed == ([1] if over else [])


def test_a_torn_box_is_no_stack(recorder: FakeRecorder, service: FakeService) -> None:
    """A box that is written again and again while it is read is left alone, and stays with its touch."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, box=1)
    recorder.boxes.clear()
    stack, note = looked_at(store(recorder, service), recorder, 1)["last"]
    assert stack is None
    assert note
    assert recorder.freed == []


def test_an_empty_box_says_that_the_stack_was_not_in_memory(recorder: FakeRecorder, service: FakeService) -> None:
    """Zero bytes copied: swapped out, or a stack pointer that points nowhere."""
    recorder.touch(recorder.add(1, 10), "last", 20, box=1, path="")
    found = looked_at(store(recorder, service), recorder, 1)
    assert found == {"last": (None, "the stack was not in memory")}


def test_touched_again_while_it_was_unwound(recorder: FakeRecorder, service: FakeService) -> None:
    """The stack that was read is still that of the touch that was read; the newer touch keeps its box."""
    record = recorder.add(1, 10)
    recorder.touch(record, "last", 20, box=1, path="old")
    seen = recorder.flight(1)
    assert seen is not None
    record.last.seq += 1
    stack, _ = resolved(store(recorder, service), seen)["last"]
    assert path(stack) == "old"
    assert record.last.box == 1
    assert recorder.freed == []


def test_boxes_of_an_ending_are_freed_whether_or_not_they_can_be_read(
    recorder: FakeRecorder, service: FakeService
) -> None:
    """A record that ended owns its boxes no more once they have been looked at."""
    record = recorder.add(1, 10)
    recorder.touch(record, "opened", 11, box=4)
    recorder.touch(record, "last", 20, box=5)
    del recorder.boxes[5]
    found = resolved(store(recorder, service), ended(bytes(record), recorder.box))
    assert {name: path(stack) for name, (stack, _) in found.items()} == {"opened": "leaky", "last": ""}
    assert sorted(recorder.freed) == [4, 5]


def test_an_events_box_is_freed(recorder: FakeRecorder, service: FakeService) -> None:
    """The transition's stack is unwound and its box returned, also if it cannot be read."""
    recorder.touch(recorder.add(1, 10), "ending", 20, box=6, path="closer")
    stacks = store(recorder, service)
    assert path(stacks.resolve_event(6)) == "closer"
    assert stacks.resolve_event(7) is None
    assert recorder.freed == [6, 7]


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
    """Whatever happens when: a stack spells the socket, birth and touch it is shown for; no box is freed twice."""
    recorder, service = FakeRecorder(), FakeService()
    stacks = store(recorder, service)
    drain = Drain(as_recorder(recorder), stacks)
    free, births = list(range(1, 65)), 0
    for action, sk, which in steps:
        clock.now += 2 * S
        record = recorder.records.get(sk)
        if record is None:
            births += 1
            record = recorder.add(sk, births)
        touch = getattr(record, which)
        if action == "touch":
            box = touch.box or free.pop()
            seq = touch.seq + 1
            recorder.touch(record, which, clock.now, box, f"{sk}<{record.birth_ns}<{which}<{seq}", seq)
            touch.stack = 0
        elif action == "drain":
            drain.idle()
        elif action == "resolve":
            found, _ = looked_at(stacks, recorder, sk).get(which, (None, None))
            assert path(found) in ("", f"{sk}<{record.birth_ns}<{which}<{touch.seq}")
        else:
            del recorder.records[sk]
            told = resolved(stacks, ended(bytes(record), recorder.box))
            expected = {name: getattr(record, name).seq for name in layout.WHICH if getattr(record, name).ns}
            assert {name: path(stack) for name, (stack, _) in told.items()} == {
                name: f"{sk}<{record.birth_ns}<{name}<{seq}" for name, seq in expected.items()
            }
        free += recorder.freed
        recorder.freed.clear()
        assert len(free) == len(set(free))


def test_a_run_of_months_releases_the_stacks_of_sockets_that_left(
    recorder: FakeRecorder, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that live none is released, and what ends meanwhile is taken first."""
    monkeypatch.setattr("tracer.session.stackstore._ENDLESS_STACKS", 8)
    stacks = StackStore(as_recorder(recorder), as_service(service), endless=True)
    for sk in range(1, 7):
        recorder.touch(recorder.add(sk, 10), "last", 20, box=sk, path=f"path{sk}<main")
        looked_at(stacks, recorder, sk)
    gone = recorder.end(1)
    numbers = {sk: record.last.stack for sk, record in recorder.records.items()}
    taken: list[str] = []

    def take_endings() -> None:
        found, _ = resolved(stacks, ended(bytes(gone), recorder.box))["last"]
        taken.append(path(found))

    assert stacks.tidy(take_endings) == 1
    assert taken == ["path1<main"]
    assert resolved(stacks, ended(bytes(gone), recorder.box))["last"] == (None, FORGOTTEN)
    for sk in numbers:
        assert path(looked_at(stacks, recorder, sk)["last"][0]) == f"path{sk}<main"
    assert stacks.tidy(take_endings) == 0
