"""Threads that wait in functions of the program instead of making the call that they owe, and how that is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from tracer.diagnose import words
from tracer.diagnose.owners import is_compiled, joins_or_sleeps, own_frames, tries_again
from tracer.diagnose.present import Wanted, all_of, owes_a_call, place, waits
from tracer.model.finding import Finding, Site
from tracer.model.frame import Stack
from tracer.model.thread import Present, Standing

_FOR_EVENTS = frozenset({"accept", "accept4", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
"""A thread in one of these waits for the next connection or for events, as a server does that has nothing to do."""
_SLEEPS = frozenset({"nanosleep", "clock_nanosleep"})
_BETWEEN_TURNS = _SLEEPS | {"poll", "ppoll", "select", "pselect6", "pause", "rt_sigtimedwait", "rt_sigsuspend"}
"""Where a loop waits for its next turn."""
_PLACES = 3


class Lingering(NamedTuple):
    """The youngest socket of a site lingers since ``begun_ns``, seen at ``now_ns`` (CLOCK_MONOTONIC)."""

    begun_ns: int
    now_ns: int


def lingering(findings: Iterable[Finding]) -> Lingering:
    """Since when all of these sockets linger."""
    several = tuple(findings)
    return Lingering(max(one.since_ns for one in several), max(one.connection.seen_ns for one in several))


def lately(one: Present, sockets: Lingering) -> bool:
    """Whether all of these threads have run long after the peers hung up, so that they may do other work meanwhile.

    That is in the second half of the time that all of the sockets linger.
    """
    if one.first_ns is None or tries_again(one.stack):
        return False
    return (one.first_ns - sockets.begun_ns) * 2 > max(sockets.now_ns - sockets.begun_ns, 0)


def _waiting(several: Iterable[Present]) -> tuple[Present, ...]:
    """Those that wait in a function of the program, for something other than events on the site's sockets or others."""
    return tuple(
        one
        for one in several
        if one.standing is Standing.WAITS
        and one.syscall not in _FOR_EVENTS
        and not any(one.polls or ())
        and place(one) is not None
    )


def _without_libraries(several: Sequence[Present], last: Optional[Stack] = None) -> tuple[Present, ...]:
    """Those that may be at work for the program; ``last`` is the stack of a call that was.

    Where that is written in an interpreter's or a virtual machine's language, a library started the threads that run
    compiled code alone: those of OpenBLAS (numpy) wait for their next work in the library's own functions.
    """
    interpreted = [one for one in several if _is_interpreted(one.stack)]
    return tuple(interpreted) if interpreted or _is_interpreted(last) else tuple(several)


def _is_interpreted(stack: Optional[Stack]) -> bool:
    return stack is not None and not is_compiled(stack)


def wanted_beside(site: Site, touchers: Iterable[Present]) -> Wanted:
    """All threads of the processes in which none of the ``touchers`` hangs though a call is owed: who was handed what.

    None where nobody was looked at, as work goes from thread to thread.
    """
    several = tuple(touchers)
    if not owes_a_call(site.verdict, site.stack) or not several or stopped(several):
        return Wanted()
    waiting = _waiting(several)
    sockets = lingering(site.findings) if waiting else Lingering(0, 0)  # there may be 100,000
    if not all(lately(one, sockets) for one in waiting):
        return Wanted()
    return all_of(thread.pid for one in several for thread in one.threads)


def handed(site: Site, others: Sequence[Present]) -> tuple[Present, ...]:
    """Those of ``others`` that hang, and so may keep what they were handed.

    A thread that sleeps, waits for others to end, has run lately, or is a library's does its own work. Those in the
    most functions of the program come first: who waits for its next work is in few.
    """
    if not others:
        return ()
    sockets = lingering(site.findings)
    several = _without_libraries(others, site.stack)
    own_work = (one.syscall in _SLEEPS or joins_or_sleeps(one.stack) or lately(one, sockets) for one in several)
    hang = _waiting(replace(one, beside=True) for one, own in zip(several, own_work) if not own)
    return tuple(sorted(hang, key=lambda one: -len(own_frames(one.stack)) if one.stack is not None else 0))


class Hanging:
    """What the present of a site's threads says of its ``findings``; ``last`` is the stack of their last call.

    ``stuck`` tells which of the threads that matter wait in which functions of the program, ``beside`` the same of
    those that may have been handed the sockets, ``stopped`` whom a signal or a debugger has stopped. Each is empty if
    that is none.
    """

    def __init__(self, now: Sequence[Present], last: Optional[Stack], findings: Sequence[Finding]) -> None:
        waiting = _waiting(now)
        mine, others = [one for one in waiting if not one.beside], [one for one in waiting if one.beside]
        if last is None:  # nobody has touched the sockets: these are all threads of the process
            mine = list(_without_libraries(mine))
        self.stuck, self.beside, self.stopped = _said(mine), _said(others), stopped(now)
        self.polls = tuple(one for one in now if any(one.polls or ()))
        """Those that wait in poll or select for one of the sockets."""
        self.for_others = bool(mine) and all(one.polls is not None for one in mine)
        """All that are stuck wait in poll or select, for none of the sockets."""
        self.several = sum(len(one.threads) for one in mine) > 1
        sockets = lingering(findings) if mine else Lingering(0, 0)  # there may be 100,000
        self.lately = bool(mine) and all(lately(one, sockets) for one in mine)
        """The threads that wait have run since the peers hung up."""
        self.may_have_gone_on = self.lately or any(_left(one.stack, last) for one in mine)
        """They may wait for their next work: they have run since, or have left what was at work at the last call."""
        self.still, self.within = _still_within(mine, last)
        """Which of the threads wait within what was at work at the last call, and where that is if it is elsewhere."""

    @property
    def tells(self) -> bool:
        """Whether anything is said."""
        return bool(self.stuck or self.beside or self.stopped or self.polls)


def _said(several: Sequence[Present]) -> str:
    shown = [waits(one) for one in several[:_PLACES]]
    rest = sum(len(one.threads) for one in several[_PLACES:])
    return words.listed([*shown, *([f"{words.plural(rest, 'thread')} elsewhere"] if rest else [])]) if shown else ""


def _left(now: Optional[Stack], last: Optional[Stack]) -> bool:
    """Whether a thread that stands at ``now`` has left what was at work at the ``last`` call.

    A function that only read has returned, and its caller goes on with the same work. Where its caller has returned,
    too, or may be the loop that takes the next work, nothing tells that the work is not over.
    """
    if now is None or last is None:
        return False
    shared, left = _compared(last, now)
    return shared > 0 and _has_left(shared, left)


def _has_left(shared: int, left: int) -> bool:
    return left > 1 or (left == 1 and shared == 1)


def _still_within(several: Iterable[Present], last: Optional[Stack]) -> tuple[str, str]:
    """Which threads wait within the function that was at work at the ``last`` call; and that function, or its caller.

    Both are empty if none is known to, the second also if they wait in that function itself. A function that only read
    has returned; its caller may go on with the same work. It may be another work by now: names alone are compared. That
    all is within the outermost function of a process's first thread (main) tells nothing, and that a loop waits for its
    next turn is no work.
    """
    for one in several:
        if one.stack is None or last is None:
            continue
        shared, left = _compared(last, one.stack)
        if shared < 2 and any(thread.tid == thread.pid for thread in one.threads):
            continue
        if shared and not _has_left(shared, left) and not _back_in_a_loop(one, shared, left):
            found, here = own_frames(last)[left], place(one)
            itself = here is not None and here.function == found.function
            return waits(one), "" if itself else words.located(found)
    return "", ""


def _back_in_a_loop(one: Present, shared: int, left: int) -> bool:
    """Whether threads have left what was at work, and wait as its caller does between two turns."""
    back = one.stack is not None and left > 0 and len(own_frames(one.stack)) == shared
    return back and one.syscall in _BETWEEN_TURNS


def _compared(last: Stack, now: Stack) -> tuple[int, int]:
    """How many of the program's functions, from the outermost on, are the same; and how many of ``last`` are left."""
    then, here = ([frame.function for frame in own_frames(stack)] for stack in (last, now))
    shared = 0
    while shared < min(len(then), len(here)) and then[-1 - shared] == here[-1 - shared]:
        shared += 1
    return shared, len(then) - shared


def stopped(several: Iterable[Present]) -> str:
    """Which threads a signal or a debugger has stopped, in words; empty if none is."""
    threads = [thread for one in several if one.standing is Standing.STOPPED for thread in one.threads]
    if not threads:
        return ""
    are = "is" if len(threads) == 1 else "are"
    return f"{words.listed(map(words.thread, threads), most=1)} {are} stopped now, by a signal or a debugger"
