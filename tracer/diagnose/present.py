"""Where the threads that matter for a leak site are now: which to look at, which are alike, and the words for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from tracer.diagnose import words
from tracer.diagnose.facts import kept_over_exec, last_call
from tracer.diagnose.owners import application_frame, is_loop, moves_between_threads, waits_for_work
from tracer.diagnose.paths import path_of
from tracer.model.connection import Actor
from tracer.model.finding import Site, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.thread import Present, Standing, ThreadNow, ThreadState

_WORKERS, _HOLDERS = 512, 16
"""Up to so many threads a process of whom nobody knows which one matters: where a call is owed, and elsewhere."""
OWED_A_CALL = frozenset(
    {
        Verdict.NEVER_ACCEPTED,
        Verdict.NEVER_READ,
        Verdict.READING_PAUSED,
        Verdict.UNREAD_DATA,
        Verdict.NOT_READ_SINCE,
    }
)
"""What the program owes such sockets is a call: where its threads are instead tells why."""
END_IS_KNOWN = frozenset({Verdict.EOF_IGNORED, Verdict.END_TAKEN})
"""What the program owes such sockets is a close: a thread that is still at work on one may make it in the end."""


def owes_a_call(verdict: Verdict, stack: Optional[Stack]) -> bool:
    """Whether a thread of the program ought to make a call on such sockets; ``stack`` is that of the telling call.

    Where an event loop of a library read the end, that is the program's part which was called with what came before.
    """
    by_library = verdict is Verdict.EOF_IGNORED and is_loop(stack) and application_frame(stack) is None
    return by_library or verdict in OWED_A_CALL


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
        several = [(f.connection.listener, *f.connection.listeners) for f in site.findings]
        return all_of(one.pid for listeners in several for one in listeners if one is not None)
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
    most = _WORKERS if site.verdict in OWED_A_CALL else _HOLDERS
    return Wanted(processes=tuple((pid, most) for pid in sorted(others)))


def all_of(pids: Iterable[int]) -> Wanted:
    """All threads of these processes, where a call is owed."""
    return Wanted(processes=tuple((pid, _WORKERS) for pid in sorted(set(pids))))


def present(thread: ThreadNow, stack: Optional[Stack], *, serves: bool = False) -> Present:
    """What is told of one thread; ``stack`` is that of its box. ``serves``: it polls a listening socket."""
    standing = _STANDING[thread.state]
    if standing is Standing.WAITS and (serves or (stack is not None and waits_for_work(stack))):
        standing = Standing.IDLE
    note = stack.note if stack is not None else thread.note
    since = thread.waiting_since_ns
    return Present((thread.actor,), standing, thread.syscall, since, stack, note, since)


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
    return (one.standing, path, None if path or one.standing is Standing.IDLE else one.syscall, one.polls)


def _together(members: list[Present]) -> Present:
    first = members[0]
    since = [one.since_ns for one in members]
    known = [ns for ns in since if ns is not None]
    threads = tuple(thread for one in members for thread in one.threads)
    latest = max(known) if len(known) == len(since) else None
    return replace(first, threads=threads, since_ns=latest, first_ns=min(known, default=None))


def place(one: Present) -> Optional[Frame]:
    """The function of the program in which these threads are; None if none is known."""
    index = application_frame(one.stack)
    return one.stack.frames[index] if one.stack is not None and index is not None else None


def waits(one: Present) -> str:
    """In words: ``worker-3 (tid 71) and 3 more wait in take_lock (server.c:11)``."""
    who = words.listed((words.thread(thread) for thread in one.threads), most=1)
    return f"{who} {'waits' if len(one.threads) == 1 else 'wait'}{_within(one)}"


def _within(one: Present) -> str:
    frame = place(one)
    return f" in {words.located(frame)}" if frame is not None else ""


def sentence(one: Present, now_ns: int) -> str:
    """In words: ``worker-3 (tid 71) and 3 more wait in take_lock (server.c:11), in futex, for at least 4.0 s``."""
    only = len(one.threads) == 1
    who = words.listed((words.thread(thread) for thread in one.threads), most=1)
    if one.standing is Standing.GONE:
        return f"{who} {'has' if only else 'have'} ended"
    if one.standing is Standing.IDLE:
        gone_on = "has gone on: it waits" if only else "have gone on: they wait"
        return f"{who} {gone_on} for work{_within(one)}{_for(one, now_ns)}"
    if one.standing is Standing.RUNS:
        return f"{who} {'runs' if only else 'run'}: {'it is' if only else 'they are'} not waiting for anything"
    if one.standing is Standing.STOPPED:
        return f"{who} {'is' if only else 'are'} stopped, by a signal or a debugger"
    inside = one.syscall or "the kernel"
    return f"{waits(one)}{', ' if place(one) is not None else ' '}in {inside}{_for(one, now_ns)}"


def _for(one: Present, now_ns: int) -> str:
    if one.since_ns is None:
        return ""
    least, most = now_ns - one.since_ns, now_ns - (one.since_ns if one.first_ns is None else one.first_ns)
    longest = f", the longest for {words.duration(most)}" if most > 2 * least else ""
    return f", for at least {words.duration(least)}{longest}"
