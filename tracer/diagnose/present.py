"""Where the threads that matter for a leak site are now: which to look at, which are alike, and the words for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import kept_over_exec, last_call
from tracer.diagnose.owners import application_frame, moves_between_threads, own_frames, waits_for_work
from tracer.diagnose.paths import path_of
from tracer.model.connection import Actor
from tracer.model.finding import Site, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.thread import Present, Standing, ThreadNow, ThreadState

_ACCEPTORS, _HOLDERS = 64, 16
"""Up to so many threads a process of whom nobody knows which one matters."""
_STANDING = {
    ThreadState.RUNS: Standing.RUNS,
    ThreadState.WAITS: Standing.WAITS,
    ThreadState.STOPPED: Standing.STOPPED,
}


class Toucher(NamedTuple):
    """A thread that was at work at ``ns`` (CLOCK_MONOTONIC)."""

    actor: Actor
    ns: int


@dataclass(frozen=True)
class Wanted:
    """The threads to look at: ``touchers``, the latest first, and all threads of ``processes``.

    Each process comes with a number: if it has more threads than that, none is looked at.
    """

    touchers: tuple[Toucher, ...] = ()
    processes: tuple[tuple[int, int], ...] = ()


def wanted(site: Site) -> Wanted:
    """Those that touched the site's sockets last; where nobody has, those who could accept them or who hold them.

    None for blocked calls, whose stack is that of now; nor for work that goes from thread to thread.
    """
    if site.verdict is Verdict.BLOCKED_IN_CALL:
        return Wanted()
    if site.verdict is Verdict.NEVER_ACCEPTED:
        listening = {f.connection.listener.pid for f in site.findings if f.connection.listener is not None}
        return Wanted(processes=tuple((pid, _ACCEPTORS) for pid in sorted(listening)))
    touched: dict[tuple[int, int], Toucher] = {}
    others: set[int] = set()
    for finding in site.findings:
        call = last_call(finding.connection)
        holders = [holder.pid for holder in finding.connection.holders]
        if call is None or call.actor.pid not in holders or kept_over_exec(finding.connection):
            others.update(holders)
        elif not moves_between_threads(call.stack):
            thread = (call.actor.pid, call.actor.tid)
            before = touched.get(thread)
            if before is None or call.ns > before.ns:
                touched[thread] = Toucher(call.actor, call.ns)
    if touched:
        return Wanted(tuple(sorted(touched.values(), key=lambda one: (-one.ns, one.actor.tid))))
    return Wanted(processes=tuple((pid, _HOLDERS) for pid in sorted(others)))


def present(thread: ThreadNow, stack: Optional[Stack]) -> Present:
    """What is told of one thread; ``stack`` is that of its box."""
    standing = _STANDING[thread.state]
    if standing is Standing.WAITS and stack is not None and waits_for_work(stack):
        standing = Standing.IDLE
    note = stack.note if stack is not None else thread.note
    return Present((thread.actor,), standing, thread.syscall, thread.waiting_since_ns, stack, note)


def grouped(several: Iterable[Present]) -> tuple[Present, ...]:
    """Alike ones together: those in functions of the program first, then the most threads first."""
    alike: dict[Hashable, list[Present]] = defaultdict(list)
    for one in several:
        alike[_likeness(one)].append(one)
    groups = [_together(members) for members in alike.values()]
    return tuple(sorted(groups, key=lambda g: (application_frame(g.stack) is None, -len(g.threads), g.threads[0].tid)))


def _likeness(one: Present) -> Hashable:
    """Without a function of the program, which system call: library code beneath differs by chance."""
    path = path_of(one.stack)
    return (one.standing, path, None if path or one.standing is Standing.IDLE else one.syscall)


def _together(members: list[Present]) -> Present:
    first = members[0]
    since = [one.since_ns for one in members]
    known = [ns for ns in since if ns is not None]
    threads = tuple(thread for one in members for thread in one.threads)
    latest = max(known) if len(known) == len(since) else None
    return Present(threads, first.standing, first.syscall, latest, first.stack, first.note)


def place(one: Present) -> Optional[Frame]:
    """The function of the program in which these threads are; None if none is known."""
    index = application_frame(one.stack)
    return one.stack.frames[index] if one.stack is not None and index is not None else None


_FOR_EVENTS = frozenset({"accept", "accept4", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
"""A thread in one of these waits for the next connection or for events, as a server does that has nothing to do."""


def stuck(several: Iterable[Present]) -> str:
    """Which threads wait in which function of the program, where most of them are; empty if none is known to."""
    one = _stuck(several)
    return _waits(one) if one is not None else ""


def _stuck(several: Iterable[Present]) -> Optional[Present]:
    waiting = (one for one in several if one.standing is Standing.WAITS and one.syscall not in _FOR_EVENTS)
    return next((one for one in waiting if place(one) is not None), None)


def may_have_gone_on(several: Iterable[Present], last: Optional[Stack]) -> bool:
    """Whether the threads that wait may wait for their next work: they have left what was at work at the ``last`` call.

    A function that only read has returned, and its caller goes on with the same work. Where its caller has returned,
    too, or may be the loop that takes the next work, nothing tells that the work is not over.
    """
    one = _stuck(several)
    if one is None or one.stack is None or last is None:
        return False
    then, now = _own(last), _own(one.stack)
    shared = 0
    while shared < min(len(then), len(now)) and then[-1 - shared] == now[-1 - shared]:
        shared += 1
    left = len(then) - shared
    return shared > 0 and (left > 1 or (left == 1 and shared == 1))


def _own(stack: Stack) -> list[Optional[str]]:
    """The program's own functions, innermost first."""
    return [frame.function for frame in own_frames(stack)]


def stopped(several: Iterable[Present]) -> str:
    """Which threads a signal or a debugger has stopped, in words; empty if none is."""
    threads = [thread for one in several if one.standing is Standing.STOPPED for thread in one.threads]
    if not threads:
        return ""
    are = "is" if len(threads) == 1 else "are"
    return f"{words.listed(map(words.thread, threads), most=1)} {are} stopped now, by a signal or a debugger"


def _waits(one: Present) -> str:
    who = words.listed((words.thread(thread) for thread in one.threads), most=1)
    frame = place(one)
    where = f" in {words.located(frame)}" if frame is not None else ""
    return f"{who} {'waits' if len(one.threads) == 1 else 'wait'}{where}"


def sentence(one: Present, now_ns: int) -> str:
    """In words: ``worker-3 (tid 71) and 3 more wait in take_lock (server.c:11), in futex, for at least 4.0 s``."""
    only = len(one.threads) == 1
    who = words.listed((words.thread(thread) for thread in one.threads), most=1)
    if one.standing is Standing.GONE:
        return f"{who} {'has' if only else 'have'} ended"
    if one.standing is Standing.IDLE:
        return f"{who} {'has gone on: it waits' if only else 'have gone on: they wait'} for work{_for(one, now_ns)}"
    if one.standing is Standing.RUNS:
        return f"{who} {'runs' if only else 'run'}: {'it is' if only else 'they are'} not waiting for anything"
    if one.standing is Standing.STOPPED:
        return f"{who} {'is' if only else 'are'} stopped, by a signal or a debugger"
    inside = one.syscall or "the kernel"
    return f"{_waits(one)}{', ' if place(one) is not None else ' '}in {inside}{_for(one, now_ns)}"


def _for(one: Present, now_ns: int) -> str:
    return f", for at least {words.duration(now_ns - one.since_ns)}" if one.since_ns is not None else ""
