"""Events that wait for a collector: bounded by number and bytes, none twice, none lost."""

from __future__ import annotations

from tracer.reports.otlp.outbox import MOST_WAITING, Outbox


def numbers(batch: object) -> list[int]:
    return [one.record for one in batch]  # type: ignore[attr-defined]


def test_each_is_taken_once_in_order() -> None:
    """A request has 100 at most."""
    box = Outbox()
    box.add(range(250), [10] * 250)
    taken = []
    while batch := box.take():
        taken.append(numbers(batch))
        box.done(batch, taken=True)
    assert [len(one) for one in taken] == [100, 100, 50]
    assert [number for one in taken for number in one] == list(range(250))
    assert (len(box), box.room) == (0, MOST_WAITING)


def test_a_request_has_a_size() -> None:
    """1 MB; one event that is larger goes alone."""
    box = Outbox()
    box.add(range(4), [600_000, 600_000, 2_000_000, 10])
    batches = []
    while batch := box.take():
        batches.append(numbers(batch))
        box.done(batch, taken=True)
    assert batches == [[0], [1], [2], [3]]


def test_there_is_room_for_some_number_and_some_bytes() -> None:
    """Whoever looks for room first never goes far beyond it."""
    box = Outbox()
    box.add(range(MOST_WAITING), [10] * MOST_WAITING)
    assert box.room == 0
    box = Outbox()
    box.add([1], [5 << 20])
    assert box.room == 0
    batch = box.take()
    assert (box.room, len(box)) == (0, 1)  # it is not taken yet
    box.done(batch, taken=False)
    assert (box.room, len(box)) == (0, 1)
    box.done(box.take(), taken=True)
    assert (box.room, len(box)) == (MOST_WAITING, 0)


def test_what_is_refused_comes_again_behind_the_others() -> None:
    """In smaller requests, until the one that is refused is alone."""
    box = Outbox()
    box.add(range(8), [10] * 8)
    taken: list[int] = []
    for _ in range(60):
        batch = box.take()
        good = 3 not in numbers(batch)
        taken += numbers(batch) if good else []
        box.done(batch, taken=good)
    assert sorted(taken) == [0, 1, 2, 4, 5, 6, 7]
    assert len(box) == 1
