"""Which of a site's sockets a thread polls: by the descriptors of the call, as made up here."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.unit.builders import actor, connection, judged, stack
from tracer.diagnose.sites import group
from tracer.model.connection import Blocked, Holder
from tracer.model.finding import Site
from tracer.model.thread import Polled, Present, Standing, ThreadNow, ThreadState
from tracer.session import polling
from tracer.session.polling import Polls, polled_of, pollers_of


@pytest.fixture(autouse=True)
def _one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pids here are made up: their threads share what their process has."""
    monkeypatch.setattr(polling, "same_table", lambda *_: True)


def site() -> Site:
    """Three sockets: descriptors 11, 12 and 13 of process 100, and 13 as 4 of process 200 as well."""
    also = (Holder(100, 13, "app"), Holder(200, 4, "kid"))
    (one,) = group(judged(connection(1), connection(2), connection(3, holders=also)))
    return one


def waiting(pid: int, tid: int) -> Present:
    return Present((actor(pid, tid),), Standing.WAITS, "poll", stack=stack("loop"))


def polls(pid: int, tid: int, fds: tuple[int, ...], to_end: tuple[int, ...] = ()) -> Polls:
    found = Polls()
    call = ThreadNow(actor(pid, tid), ThreadState.WAITS, 7, "poll", fds, to_end=frozenset(to_end))
    found.add(call, waiting(pid, tid))
    return found


@pytest.mark.parametrize(
    ("pid", "fds", "to_end", "told"),
    [
        (100, (11, 12, 30), (30,), Polled(0, 2)),
        (100, (11, 12, 13), (11,), Polled(1, 2)),
        (100, (30,), (30,), Polled(0, 0)),
        (100, (), (), None),
        (200, (4, 11), (), Polled(0, 1)),
        (300, (11,), (), None),
    ],
)
def test_a_thread_that_matters(pid: int, fds: tuple[int, ...], to_end: tuple[int, ...], told: Optional[Polled]) -> None:
    """How many it waits for. Without descriptors they could not be read; numbers are of the holder's own table."""
    (one,) = polls(pid, 7, fds, to_end).of_site(site(), [waiting(pid, 7)])
    assert one.polls == told


def test_others_are_added_if_they_wait_for_a_socket() -> None:
    """Not those that wait for something else."""
    assert [one.polls for one in polls(200, 9, (4,)).of_site(site(), [])] == [Polled(0, 1)]
    assert polls(200, 9, (30,)).of_site(site(), []) == []


def test_so_many_descriptors_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that has too many, with those of the others, it is not known what it is for."""
    monkeypatch.setattr(polling, "_MOST_KEPT", 4)
    found = Polls()
    for tid, fds in ((7, (11, 30)), (8, (12, 31, 32)), (9, (13, 33))):
        found.add(ThreadNow(actor(100, tid), ThreadState.WAITS, 7, "poll", fds), waiting(100, tid))
    told = found.of_site(site(), [waiting(100, tid) for tid in (7, 8, 9)])
    assert [one.polls for one in told] == [Polled(0, 1), None, Polled(0, 1)]


def test_the_same_number_of_another_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has a table for itself polls what that has; where tables cannot be compared, all have one."""
    holders = (Holder(100, 11, "app"), Holder(100, 12, "app", tid=8))
    (one,) = group(judged(connection(1, holders=holders)))
    both = [waiting(100, 7), waiting(100, 8)]

    def polled() -> list[Optional[Polled]]:
        found = Polls()
        for tid in (7, 8):
            found.add(ThreadNow(actor(100, tid), ThreadState.WAITS, 7, "poll", (11, 12)), waiting(100, tid))
        return [thread.polls for thread in found.of_site(one, both)]

    monkeypatch.setattr(polling, "same_table", lambda table, tid: table == {7: 100, 8: 8}[tid])
    assert polled() == [Polled(0, 1), Polled(0, 1)]
    monkeypatch.setattr(polling, "same_table", lambda *_: False)
    assert polled() == [Polled(0, 0), Polled(0, 0)]
    monkeypatch.setattr(polling, "same_table", lambda *_: None)
    assert polled() == [Polled(0, 2), Polled(0, 2)]


def test_where_it_matters() -> None:
    """The processes that hold sockets which somebody may wait for; not where a call is under way."""
    assert pollers_of(site()) == {100, 200}
    (blocked,) = group(judged(connection(blocked=(Blocked(actor(), 11, "sendto", stack("push")),))))
    assert pollers_of(blocked) == frozenset()
    assert polled_of([site(), blocked]) == {100: {11, 12, 13}, 200: {4}}
