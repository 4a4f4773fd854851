"""Oracle: which threads a person would look at, which ones are in the same place, and how that is said."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.unit.builders import NOW, START, S, accepted, actor, connection, judged, stack, touch
from tracer.diagnose.present import Toucher, Wanted, grouped, present, sentence, wanted
from tracer.diagnose.sites import group, with_present
from tracer.model.connection import Blocked, Holder
from tracer.model.finding import Application, Site, Where
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op
from tracer.model.thread import Present, Standing, ThreadNow, ThreadState

LIBC = Frame("futex_wait", "libc.so.6", internal=True)
IDLE = Stack((LIBC, Frame("java.util.concurrent.ThreadPoolExecutor.getTask", None, language="java")), True)


def site(*connections: Any) -> Site:
    (one,) = group(judged(*connections))
    return one


def waiting(tid: int, in_: Optional[Stack] = None, **more: Any) -> Present:
    facts = {"syscall": "futex", "since_ns": NOW - 4 * S, "stack": in_, **more}
    return Present((actor(100, tid),), Standing.WAITS, **facts)


def test_the_threads_of_the_last_calls() -> None:
    """Each once, the latest first."""
    made = [(1, 101), (2, 102), (3, 101)]
    calls = [touch(Op.RECV, second, 150, actor=actor(100, tid), stack=stack("read_reply")) for second, tid in made]
    found = wanted(site(*(connection(i, last=call) for i, call in enumerate(calls))))
    assert found == Wanted((Toucher(actor(100, 101), START + 3 * S), Toucher(actor(100, 102), START + 2 * S)))


def test_who_has_let_go_is_not_looked_at() -> None:
    """The last toucher's process has no descriptor any more: those who hold it are looked at."""
    assert wanted(site(connection(holders=(Holder(300, 4, "child"),)))) == Wanted(processes=((300, 16),))


def test_work_that_moves_is_not_looked_for_in_a_thread() -> None:
    """A goroutine's thread runs other goroutines by now."""
    go = Stack((Frame("main.fetch", "app", language="go"),), True)
    assert wanted(site(connection(last=touch(Op.RECV, 1.006, 150, stack=go)))) == Wanted()


def test_who_could_accept() -> None:
    """Of sockets that nobody accepted: the listening process."""
    queue = accepted(accepted=False, opened=None, last=None, holders=(), listener=Holder(300, 3, "srv"))
    assert wanted(site(queue)) == Wanted(processes=((300, 512),))


def test_who_holds_older_ones() -> None:
    """Of sockets that no call was seen on: their holders."""
    assert wanted(site(connection(last=None, opened=None, preexisting=True))) == Wanted(processes=((100, 16),))


def test_a_blocked_call_is_told_already() -> None:
    """Its stack is that of now."""
    assert wanted(site(connection(blocked=(Blocked(actor(), 11, "sendto", stack("push")),)))) == Wanted()


@pytest.mark.parametrize(
    ("state", "in_", "standing"),
    [
        (ThreadState.WAITS, stack("take_lock"), Standing.WAITS),
        (ThreadState.WAITS, IDLE, Standing.IDLE),
        (ThreadState.WAITS, None, Standing.WAITS),
        (ThreadState.RUNS, None, Standing.RUNS),
        (ThreadState.STOPPED, IDLE, Standing.STOPPED),
    ],
)
def test_standing(state: ThreadState, in_: Optional[Stack], standing: Standing) -> None:
    """Only a thread that waits can be idle, and only where its stack says so."""
    assert present(ThreadNow(actor(), state), in_).standing is standing


def test_alike_ones_are_together() -> None:
    """By the program's functions; without any by the system call. Those with a function come first."""
    locked = stack("take_lock", "handle")
    several = [
        waiting(1),
        waiting(2, locked),
        waiting(3),
        waiting(
            4, Stack((Frame("other_wait", "libc.so.6", internal=True), *locked.frames[1:]), True), since_ns=NOW - S
        ),
        waiting(5, syscall="epoll_wait"),
        Present((actor(100, 6),), Standing.RUNS),
    ]
    groups = grouped(several)
    assert [[thread.tid for thread in one.threads] for one in groups] == [[2, 4], [1, 3], [5], [6]]
    assert [one.since_ns for one in groups] == [NOW - S, NOW - 4 * S, NOW - 4 * S, None]


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (waiting(7, stack("take_lock")), "worker (tid 7) waits in take_lock (app), in futex, for at least 4.0 s"),
        (waiting(7, stack("take_lock"), since_ns=None), "worker (tid 7) waits in take_lock (app), in futex"),
        (waiting(7), "worker (tid 7) waits in futex, for at least 4.0 s"),
        (waiting(7, syscall=None), "worker (tid 7) waits in the kernel, for at least 4.0 s"),
        (Present((actor(100, 7),), Standing.GONE), "worker (tid 7) has ended"),
        (Present((actor(100, 7), actor(100, 8)), Standing.RUNS), "worker (tid 7) and 1 more run: they are not waiting"),
        (Present((actor(100, 7),), Standing.IDLE), "worker (tid 7) has gone on: it waits for work"),
        (Present((actor(100, 7), actor()), Standing.STOPPED), "worker (tid 7) and 1 more are stopped"),
    ],
)
def test_sentences(one: Present, text: str) -> None:
    """Who, what, where, and for how long at least."""
    assert sentence(one, NOW).startswith(text)


def test_the_present_place_stands_in_for_a_call_that_was_not_seen() -> None:
    """Where no stack has a function of the program: that in which the threads are."""
    older = site(connection(last=None, opened=None, preexisting=True))
    assert with_present(older, (waiting(7, stack("take_lock")),), 0).application == Application(Where.NOW, 1)
    places = (waiting(7, stack("take_lock")), waiting(8, stack("sleep")))
    assert with_present(older, places, 0).application == Application()
