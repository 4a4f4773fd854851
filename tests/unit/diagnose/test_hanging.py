"""Oracle: which threads a person would call stuck, and of which a person would say only that they may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from tests.unit.builders import NOW, S, accepted, actor, connection, frame, judged, stack, touch
from tests.unit.cases import EOF_READ, WITH_DATA
from tracer.diagnose.hanging import Hanging, Lingering, handed, lingering, stopped, wanted_beside
from tracer.diagnose.present import Wanted, all_of
from tracer.diagnose.sites import group, with_present
from tracer.model.connection import Touch
from tracer.model.finding import Application, Site, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op
from tracer.model.thread import Polled, Present, Standing

SERVED = stack("read_order", "dispatch")
LOCKED = stack("take_lock", "book")
FOR_LONG, JUST_NOW = NOW - 190 * S, NOW - S
HAS_RUN = "has run since the peer hung up"


def site(*connections: Any) -> Site:
    (one,) = group(judged(*connections))
    return one


def served(*calls: Stack) -> Site:
    """Sockets of one server, whose last calls were here. All linger since 66 s after the start."""
    every = calls or (SERVED,)
    return site(*(accepted(i, last=touch(Op.RECV, 1.006, 6, stack=one)) for i, one in enumerate(every)))


def waiting(tid: int, in_: Optional[Stack] = LOCKED, since_ns: int = FOR_LONG, **more: Any) -> Present:
    facts = {"syscall": "futex", "since_ns": since_ns, "first_ns": since_ns, "stack": in_, **more}
    return Present((actor(100, tid),), Standing.WAITS, **facts)


def next_connection() -> Present:
    return waiting(100, stack("dispatch"), JUST_NOW, syscall="accept4")


def hanging(*now: Present, last: Optional[Stack] = None) -> Hanging:
    return Hanging(now, last, served().findings)


@pytest.mark.parametrize("call", ["accept4", "epoll_wait", "epoll_pwait2"])
def test_who_waits_for_events_is_not_stuck(call: str) -> None:
    """A server's own loop has gone on: it waits for what comes next, not for a lock or an answer."""
    assert hanging(waiting(7, syscall=call)).stuck == ""
    assert hanging(waiting(7, syscall=call), waiting(8)).stuck.startswith("worker (tid 8)")


def test_each_place_is_named() -> None:
    """Three at most; of the others the number of threads."""
    places = [waiting(7 + i, stack(f"place_{i}")) for i in range(4)]
    two = "worker (tid 7) waits in place_0 (app) and worker (tid 8) waits in place_1 (app)"
    assert hanging(*places[:2]).stuck == two
    assert hanging(*places).stuck.endswith("worker (tid 9) waits in place_2 (app) and 1 thread elsewhere")


def test_stopped_threads_are_told_with_the_site() -> None:
    """Nothing keeps them in the program: who stopped them does."""
    two = Present((actor(100, 7), actor(100, 8)), Standing.STOPPED, stack=stack("serve"))
    assert stopped([two]) == "worker (tid 7) and 1 more are stopped now, by a signal or a debugger"
    told = with_present(site(accepted()), (two,), 0)
    assert "are stopped now" in told.explanation[-1]
    assert "SIGCONT" in told.advice[0]
    both = with_present(site(accepted()), (two, waiting(9, stack("take_lock"))), 0)
    assert both.explanation[-1] == "worker (tid 9) waits in take_lock (app) now."
    assert "Find what is waited for there" in both.advice[1]


def test_stuck_threads_are_told_with_the_site() -> None:
    """Where a handler owes a call, its present place is the explanation, and the guesses are gone."""
    sockets = [accepted(i) for i in range(2)]
    without, locked = site(*sockets), waiting(7, stack("take_lock"))
    assert "busy elsewhere" in " ".join(without.explanation)
    told = with_present(without, (locked,), 3)
    assert (told.now, told.not_looked_at, told.application) == ((locked,), 3, without.application)
    assert told.explanation[-1] == "worker (tid 7) waits in take_lock (app) now."
    assert "busy elsewhere" not in " ".join(told.explanation)
    assert "Find what is waited for there" in told.advice[0]
    assert with_present(without, (), 0) is without
    assert not hanging(waiting(7, None), Present((actor(),), Standing.RUNS, stack=stack("spin"))).tells


@pytest.mark.parametrize(
    ("then", "now", "hedged"),
    [
        (("read_order", "handle", "work"), ("take_lock", "handle", "work"), False),
        (("read_order", "handle", "work"), ("next_job", "work"), True),
        (("handle", "work"), ("next_job", "work"), True),
        (("handle", "work"), ("take_lock", "handle", "work"), False),
        (("read_order",), ("take_lock",), False),
    ],
)
def test_who_may_wait_for_the_next_work_is_not_called_stuck(
    then: tuple[str, ...], now: tuple[str, ...], hedged: bool
) -> None:
    """A worker that has left the handler may have returned from it without a close."""
    told = with_present(served(stack(*then)), (waiting(7, stack(*now)),), 0)
    assert told.explanation[-1] == f"worker (tid 7) waits in {now[0]} (app) now."
    assert ("look at its branches for errors. If not, find what is waited for there" in told.advice[0]) is hedged
    assert told.advice[0].startswith("Find what is waited for there") is not hedged


@pytest.mark.parametrize(
    ("one", "hedged"),
    [
        (waiting(7, since_ns=FOR_LONG), False),
        (waiting(7, since_ns=JUST_NOW), True),
        (waiting(7, since_ns=JUST_NOW, first_ns=FOR_LONG), False),
        (waiting(7, since_ns=NOW - 120 * S), False),
        (waiting(7, since_ns=NOW - 60 * S), True),
        (waiting(7, first_ns=None), False),
        (
            waiting(7, Stack((frame("ObjectMonitor::EnterI(JavaThread*)", "libjvm.so"), frame("f")), True), JUST_NOW),
            False,
        ),
    ],
)
def test_a_thread_that_came_there_long_after_is_told_as_such(one: Present, hedged: bool) -> None:
    """The sockets linger for 134 s: who ran since then may do other work. A waiter in a JVM wakes up each second."""
    told = with_present(served(stack("take_lock", "book")), (one,), 0)
    assert (HAS_RUN in told.explanation[-1]) is hedged
    assert ("If that is where it waits for its next work" in told.advice[0]) is hedged


@pytest.mark.parametrize(
    ("touchers", "wants"),
    [
        ((next_connection(),), all_of([100])),
        ((Present((actor(100, 7),), Standing.GONE),), all_of([100])),
        ((Present((actor(100, 7),), Standing.IDLE),), all_of([100])),
        ((waiting(7, since_ns=JUST_NOW),), all_of([100])),
        ((waiting(7), next_connection()), Wanted()),
        ((Present((actor(100, 7),), Standing.STOPPED),), Wanted()),
    ],
)
def test_others_are_looked_at_only_where_nobody_is_known_to_hang(touchers: tuple[Present, ...], wants: Wanted) -> None:
    """Who read a request and waits for the next one has handed it over, or has forgotten it."""
    assert wanted_beside(served(), touchers) == wants


def test_others_are_not_looked_at_for_idle_connections() -> None:
    """Nothing is owed there; nor does a thread tell of a goroutine."""
    idle = site(connection(last=touch(Op.RECV, 1.006, 150, stack=stack("read_reply"))))
    go = served(Stack((Frame("main.fetch", "app", language="go"),), True))
    assert wanted_beside(idle, (next_connection(),)) == wanted_beside(go, ()) == Wanted()


def test_the_end_that_an_event_loop_read() -> None:
    """No function of the program was told of it: its workers are looked at. Where one read it, that one must close."""
    asyncio: dict[str, Any] = {"file": "/usr/lib/python3.11/asyncio/base_events.py", "language": "python"}
    loop = Stack((SERVED.frames[0], Frame("BaseEventLoop._run_once", None, internal=True, **asyncio)), True)
    ends = [touch(Op.RECV, 67, 0, stack=one) for one in (loop, SERVED)]
    by_loop, by_program = (site(accepted(eof=end, last=end, eof_reads=1, rx_queue=0)) for end in ends)
    assert (by_loop.verdict, by_program.verdict) == (Verdict.EOF_IGNORED, Verdict.EOF_IGNORED)
    assert wanted_beside(by_loop, (next_connection(),)) == all_of([100])
    assert wanted_beside(by_program, (next_connection(),)) == Wanted()
    locked = Stack((frame("take_lock", "app", file="/srv/shop.py", language="python"),), True)
    told = with_present(by_loop, (next_connection(), *handed(by_loop, [waiting(7, locked)])), 0)
    assert told.explanation[-1].startswith("If it was handed to another thread of the process: worker (tid 7) waits in")
    assert told.advice[1].startswith("If one of those threads has it, find what is waited for there")


def test_who_may_have_been_handed_a_socket() -> None:
    """Not who runs, sleeps, joins, waits for events or has run lately. The deepest in the program first."""
    joining = Stack((Frame("__pthread_clockjoin_ex", "libc.so.6", internal=True), frame("main")), True)
    threading = Frame("Thread.join", None, file="/usr/lib/python3.11/threading.py", language="python", internal=True)
    python = Stack((threading, frame("main")), True)
    java = Stack((Frame("java.lang.Thread.join", None, language="java"), frame("Main.main")), True)
    others = [
        waiting(1, stack("next_job")),
        waiting(2),
        waiting(3, stack("tick"), syscall="clock_nanosleep"),
        waiting(4, joining),
        waiting(7, stack("poll"), JUST_NOW),
        waiting(8, stack("loop"), syscall="epoll_wait"),
        waiting(9, None),
        Present((actor(100, 10),), Standing.RUNS),
    ]
    found = handed(served(), others)
    assert [(one.threads[0].tid, one.beside) for one in found] == [(2, True), (1, True)]
    java_sleeps = Stack((Frame("java.lang.Thread.sleep", None, language="java"), frame("Main.tick")), True)
    ruby_sleeps = Stack((Frame("sleep", None, language="ruby", internal=True), frame("tick")), True)
    assert not handed(served(), [waiting(i, one) for i, one in enumerate((python, java, java_sleeps, ruby_sleeps))])
    ruby_own = Stack((Frame("sleep", "fair.rb", file="/srv/fair.rb", language="ruby"), frame("serve")), True)
    assert [one.stack for one in handed(served(), [waiting(9, ruby_own)])] == [ruby_own]


def test_a_place_where_a_thread_hangs_needs_no_look_into_the_heap() -> None:
    """A library's loop read the request; the program's handler is named by where its thread is now."""
    serving: dict[str, Any] = {"file": "/usr/lib/python3.11/socketserver.py", "language": "python", "internal": True}
    loop = Stack((SERVED.frames[0], Frame("BaseServer.finish_request", None, **serving)), True)
    without = site(accepted(last=touch(Op.RECV, 1.006, 6, stack=loop), opened=None))
    assert "--lineage" in " ".join(without.advice)
    told = with_present(without, (waiting(7),), 0)
    assert "take_lock" in told.explanation[-1]
    assert "--lineage" not in " ".join(told.advice)


def test_threads_of_a_library_are_not_told_of_a_script() -> None:
    """numpy's threads, or a driver's, run no function of the script. All of a compiled program's may serve it."""
    script = Stack((Frame("serve", None, file="/srv/shop.py", language="python"),), True)
    compiled, scripted = waiting(1, stack("server_loop")), waiting(2, script)
    assert [one.threads[0].tid for one in handed(served(script), [compiled])] == []
    assert [one.threads[0].tid for one in handed(served(), [compiled, scripted])] == [2]
    assert [one.threads[0].tid for one in handed(served(), [compiled])] == [1]
    assert hanging(compiled, scripted).stuck == "worker (tid 2) waits in serve (shop.py)"
    assert hanging(compiled, last=script).stuck == "worker (tid 1) waits in server_loop (app)"


def test_workers_that_hang_are_told_beside_the_guesses() -> None:
    """That they have the sockets is not known."""
    told = with_present(served(SERVED, SERVED), (next_connection(), *handed(served(), [waiting(7)])), 0)
    why, todo = told.explanation, told.advice
    one = "If they were handed to another thread of the process: worker (tid 7) waits in take_lock (app) now."
    assert why[-1] == one
    assert "busy elsewhere" in " ".join(why)
    assert todo[0].startswith("See what the handler does after its last call in read_order")
    assert todo[1].startswith("If one of those threads has them, find what is waited for there")
    assert told.application == Application(told.application.stack, 1)


@pytest.mark.parametrize(
    ("call", "polls", "said"),
    [
        ("poll", Polled(0, 2), "worker (tid 7) waits in loop (app) now, in poll for them, but not for input: "),
        ("pselect6", Polled(0, 1), "worker (tid 7) waits in loop (app) now, in select for one of them, but not "),
    ],
)
def test_a_poll_that_is_not_told_of_the_end(call: str, polls: Polled, said: str) -> None:
    """It is the reason why nobody comes, of idle connections as well as of a server's."""
    one = waiting(7, stack("loop"), syscall=call, polls=polls)
    idle = site(*(connection(i, last=touch(Op.RECV, 1.006, 150, stack=SERVED)) for i in range(2)))
    for every in (idle, served(SERVED, SERVED)):
        told = with_present(every, (one,), 0)
        assert told.explanation[-1].startswith(said)
        assert told.advice[1].startswith("Let that poll or select ask for input, too")


def test_a_poll_for_other_descriptors() -> None:
    """A thread that polls none of the sockets waits for something else; one that is told of the end knows of it."""
    other = with_present(served(), (waiting(7, syscall="poll", polls=Polled()),), 0)
    assert other.explanation[-1].endswith("waits in take_lock (app) now, in poll or select for other descriptors.")
    knows = served(SERVED, SERVED)
    told = with_present(knows, (waiting(7, syscall="poll", polls=Polled(2, 0)),), 0)
    assert "poll" not in " ".join(told.explanation)
    assert not hanging(waiting(7, syscall="poll", polls=Polled(2, 0))).stuck


def test_lingering_is_that_of_the_youngest() -> None:
    """Before that, some of the peers had not hung up."""
    late = accepted(2, fin=100.0, last=touch(Op.RECV, 1.006, 6, stack=SERVED))
    assert lingering(judged(accepted(1), late)) == Lingering(late.fin_ns or 0, NOW)


@pytest.mark.parametrize("facts", [EOF_READ, WITH_DATA])
@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (("read_order", "handle", "work"), ("take_lock", "handle", "work"), "still or again within handle (app)"),
        (
            ("read_order", "handle", "work"),
            ("take_lock", "read_order", "handle", "work"),
            "again within read_order (app)",
        ),
        (("handle", "work"), ("handle", "work"), "waits in handle (app), still or again in what read the end"),
        (("read_order", "handle", "work"), ("next_job", "work"), ""),
        (("handle", "work"), ("next_job", "work"), ""),
        (("handle", "work"), ("flush", "logger"), ""),
        (("handle",), ("handle",), "waits in handle (app), still or again in what read the end"),
        (("handle",), ("take_lock", "handle"), "waits in take_lock (app), still or again within handle (app)"),
    ],
)
def test_a_thread_that_is_still_at_work_may_close(
    facts: dict[str, Any], then: tuple[str, ...], now: tuple[str, ...], said: str
) -> None:
    """Who waits within what read the end may not be done: then the wait is to be looked at first. Others have left."""
    path = stack(*then)
    calls = {key: replace(call, stack=path) for key, call in facts.items() if isinstance(call, Touch)}
    without = site(accepted(1, **{**facts, **calls}))
    told = with_present(without, (waiting(8, stack("sleep")), waiting(7, stack(*now))), 0)
    if said:
        assert said in told.explanation[-1]
        assert "find what is waited for there" in told.advice[0]
        assert told.advice[1:] == without.advice
    else:
        assert (told.explanation, told.advice) == (without.explanation, without.advice)


@pytest.mark.parametrize(("call", "said"), [("poll", False), ("clock_nanosleep", False), ("futex", True)])
def test_a_loop_between_two_turns_is_not_at_work(call: str, said: bool) -> None:
    """Who has left what read the end, and polls or sleeps in its caller, waits for its next turn."""
    path = stack("on_readable", "serve", "main")
    read = replace(EOF_READ["eof"], stack=path)
    without = site(accepted(1, **{**EOF_READ, "eof": read, "last": read}))
    told = with_present(without, (waiting(7, stack("serve", "main"), syscall=call),), 0)
    assert ("still or again" in told.explanation[-1]) is said
    within = with_present(without, (waiting(7, stack("on_readable", "serve", "main"), syscall=call),), 0)
    assert "still or again in what read the end" in within.explanation[-1]


def test_all_is_within_main() -> None:
    """That the first thread of a process waits somewhere within its outermost function tells nothing."""
    read = replace(EOF_READ["eof"], stack=stack("main"))
    without = site(accepted(1, **{**EOF_READ, "eof": read, "last": read}))
    first = replace(waiting(7, stack("next_job", "main")), threads=(actor(100, 100),))
    assert with_present(without, (first,), 0).explanation == without.explanation
