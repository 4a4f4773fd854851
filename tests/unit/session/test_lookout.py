"""Which threads are looked at, on this process's own threads and made-up ones."""

from __future__ import annotations

import os
import select
import socket as sockets
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.builders import actor, connection, judged, stack, touch
from tracer.diagnose.sites import group
from tracer.host.thread_times import began_ns
from tracer.host.threads import ThreadsNow
from tracer.model.connection import Actor, Connection, Holder
from tracer.model.finding import Site
from tracer.model.frame import BlackBox, Stack
from tracer.model.states import Op
from tracer.model.thread import Present, Standing, ThreadNow, ThreadState
from tracer.session import lookout
from tracer.session.lookout import Lookout
from tracer.session.polling import Polls

PID = os.getpid()
UNWOUND = stack("take_lock")


def unwind(_box: BlackBox) -> Stack:
    return UNWOUND


@contextmanager
def threads(count: int) -> Iterator[list[int]]:
    """Threads of this process that wait."""
    go = threading.Event()
    tids: list[int] = []

    def wait() -> None:
        tids.append(threading.get_native_id())
        go.wait()

    every = [threading.Thread(target=wait) for _ in range(count)]
    for thread in every:
        thread.start()
    while len(tids) < count or not all(map(sleeps, tids)):
        time.sleep(0.001)
    yield tids
    go.set()
    for thread in every:
        thread.join()


def sleeps(tid: int) -> bool:
    return Path(f"/proc/self/task/{tid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def socket(serial: int, pid: int, tid: int, ns: int) -> Connection:
    call = touch(Op.RECV, 0, 150, actor=Actor(pid, tid, "worker"), stack=stack("read_reply"))
    last = type(call)(call.op, ns, call.actor, call.ret, stack=call.stack)
    return connection(serial, last=last, holders=(Holder(pid, 9, "app"),))


def looked(*connections: Connection) -> Site:
    (site,) = Lookout(ThreadsNow(), unwind).complete(group(judged(*connections)))
    return site


def test_a_thread_that_waits() -> None:
    """It is looked at once, though two sockets ask for it."""
    with threads(1) as (tid,):
        site = looked(*(socket(i, PID, tid, time.monotonic_ns()) for i in range(2)))
    (one,) = site.now
    assert ([thread.tid for thread in one.threads], one.standing) == ([tid], Standing.WAITS)


def test_a_number_that_another_thread_has_now() -> None:
    """A thread that began after the call is another one: that of the call has ended."""
    with threads(1) as (tid,):
        before = began_ns(PID, tid)
        assert before is not None
        site = looked(socket(1, PID, tid, before - 20_000_000))
    mine = [one for one in site.now if not one.beside]
    assert [(one.standing, one.threads[0].tid) for one in mine] == [(Standing.GONE, tid)]


def test_who_may_have_been_handed_a_socket() -> None:
    """The thread that read it has ended. Others of the process hang."""
    with threads(3) as tids:
        reader = threading.Thread(target=time.time)
        reader.start()
        gone = reader.native_id or 0
        reader.join()
        while Path(f"/proc/self/task/{gone}").exists():
            time.sleep(0.001)
        site = looked(socket(1, PID, gone, time.monotonic_ns()))
    first, *others = site.now
    assert ([thread.tid for thread in first.threads], first.standing) == ([gone], Standing.GONE)
    told = {thread.tid for one in others for thread in one.threads}
    assert (all(one.beside for one in others), set(tids) <= told) == (True, True)


@pytest.mark.parametrize(("listens", "standing"), [(True, Standing.IDLE), (False, Standing.WAITS)])
def test_a_loop_that_polls_a_listener_waits_for_work(listens: bool, standing: Standing) -> None:
    """A poll of other sockets may wait for an answer."""
    one, other = sockets.socketpair()
    if listens:
        one.close()
        one = sockets.create_server(("127.0.0.1", 0))
    tids: list[int] = []
    poll = select.poll()
    poll.register(one, select.POLLIN)

    def loop() -> None:
        tids.append(threading.get_native_id())
        poll.poll(60_000)

    thread = threading.Thread(target=loop)
    thread.start()
    while not tids or not sleeps(tids[0]):
        time.sleep(0.001)
    (now,) = looked(socket(1, PID, tids[0], time.monotonic_ns())).now[:1]
    other.close()
    if listens:
        sockets.create_connection(one.getsockname()).close()
    thread.join()
    one.close()
    assert now.standing is standing


def test_a_process_that_has_ended() -> None:
    """Of its threads nothing is said."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert looked(socket(1, child, child, time.monotonic_ns())).now == ()


@pytest.mark.parametrize(("limit", "looks"), [("_OF_A_SITE", 2), ("_IN_ALL", 2), ("_BUDGET_NS", 0)])
def test_bounds(monkeypatch: pytest.MonkeyPatch, limit: str, looks: int) -> None:
    """How many threads are left out is counted."""
    monkeypatch.setattr(lookout, limit, 2 if limit != "_BUDGET_NS" else -1)
    monkeypatch.setattr(lookout, "_AT_ONCE", 1)
    with threads(5) as tids:
        site = looked(*(socket(i, PID, tid, time.monotonic_ns()) for i, tid in enumerate(tids)))
    assert (sum(len(one.threads) for one in site.now), site.not_looked_at) == (looks, 5 - looks)


class Pollers(ThreadsNow):
    """All other threads are inside poll. That is asked of one at a time."""

    asked = 0

    def in_poll(self, pid: int, tids: Iterable[int], fds: Collection[int]) -> Iterator[ThreadNow]:
        """Made up."""
        assert set(fds) == {9}
        for tid in tids:
            self.asked += 1
            yield ThreadNow(actor(pid, tid), ThreadState.WAITS, 7, "poll", (9,))


@pytest.mark.parametrize("looks_in_time", [1, 3, 100])
def test_no_more_pollers_than_there_is_time_for(monkeypatch: pytest.MonkeyPatch, looks_in_time: int) -> None:
    """A process may have thousands, and each is unwound."""
    clock = Clock()
    monkeypatch.setattr(lookout, "_BUDGET_NS", looks_in_time - 1)
    monkeypatch.setattr(lookout, "time", clock)

    def told(self: object, thread: ThreadNow, present: Present) -> None:
        clock.now += 1

    monkeypatch.setattr(Polls, "add", told)
    pollers = Pollers()
    with threads(5):
        others = len(os.listdir("/proc/self/task")) - 1
        Lookout(pollers, unwind).complete(group(judged(socket(1, PID, PID, time.monotonic_ns()))))
    assert pollers.asked == min(looks_in_time, others)


class Clock:
    """A clock that a test sets."""

    now = 0

    def monotonic_ns(self) -> int:
        """As time.monotonic_ns."""
        return self.now


def test_a_thread_began_before_it_can_say_so() -> None:
    """And after its process did."""
    with threads(1) as (tid,):
        began, main = began_ns(PID, tid), began_ns(PID, PID)
        assert began is not None
        assert main is not None
        assert main <= began <= time.monotonic_ns()
        assert time.monotonic_ns() - began < 5_000_000_000
    assert began_ns(PID, actor(1, 2**22).tid) is None
