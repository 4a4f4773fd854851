"""Where a thread is now: what the kernel says of it at one moment. Times are CLOCK_MONOTONIC ns."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.model.connection import Actor
from tracer.model.frame import BlackBox, Stack


class ThreadState(enum.Enum):
    """What a thread does. RUNS: it has a CPU or would take one. WAITS: it sleeps in the kernel. STOPPED: by a signal
    or a debugger.
    """

    RUNS = "runs"
    WAITS = "waits"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ThreadNow:
    """A thread when it was looked at.

    ``syscall`` names the system call that it is in; None if it runs, waits outside of a call (a page fault), or is in
    one that this program has no name for (``number`` then tells). ``fds`` are the descriptors of the call; those
    of poll(2) and select(2) are read from the target's memory. ``to_read`` and ``to_write`` tell what the call is for;
    accept reads. The descriptor of epoll_wait(2) is in neither. Of those of poll and select in ``to_end`` the call is
    told when the peer hangs up. ``waiting_since_ns``: it has not run since then, or
    longer; None if not known. ``box`` has its registers and the top of its stack, both of one moment; where it is None,
    ``note`` says why.
    """

    actor: Actor
    state: ThreadState
    number: int = -1
    syscall: Optional[str] = None
    fds: tuple[int, ...] = ()
    to_read: frozenset[int] = frozenset()
    to_write: frozenset[int] = frozenset()
    waiting_since_ns: Optional[int] = None
    box: Optional[BlackBox] = None
    note: Optional[str] = None
    to_end: frozenset[int] = frozenset()


class Polled(NamedTuple):
    """How many of a site's sockets a poll or select is ``told`` of when the peer hangs up, and for how many it waits
    otherwise (``untold``).
    """

    told: int = 0
    untold: int = 0


class Standing(str, enum.Enum):
    """What is told of a thread. WAITS: inside a system call, for anything. IDLE: it waits for work to do. GONE: it has
    ended.
    """

    RUNS = "runs"
    WAITS = "waits"
    STOPPED = "stopped"
    IDLE = "idle"
    GONE = "gone"


@dataclass(frozen=True)
class Present:
    """Threads that are in the same place now.

    ``syscall`` and ``stack`` are those of the first of ``threads``; ``note`` says why there is no stack. None of them
    has run since ``since_ns`` (CLOCK_MONOTONIC), or longer, and one of them not since ``first_ns``; None if not known.
    ``beside``: they have called on none of the site's sockets. But they are of the same process as those that have, and
    may have been handed one. ``polls`` tells of a thread inside poll or select which of the site's sockets that is for;
    None if it is in another call, or if that is not known.
    """

    threads: tuple[Actor, ...]
    standing: Standing
    syscall: Optional[str] = None
    since_ns: Optional[int] = None
    stack: Optional[Stack] = None
    note: Optional[str] = None
    first_ns: Optional[int] = None
    beside: bool = False
    polls: Optional[Polled] = None


class TaskSample(NamedTuple):
    """What the kernel's task_struct of a thread held, read in one go.

    ``words`` are those of struct pt_regs. ``switches`` counts how often the thread gave up the CPU. ``steady`` says
    that it did not run while it was read: two steady samples with the same ``switches`` mean that it did not run in
    between either. ``runnable`` is true for one that has a CPU or would take one. ``stopped``: by a signal or a
    debugger. ``kernel`` marks a worker of the kernel inside the process, which has no user registers, ``is_64_bit`` a
    thread that runs 64-bit code. ``thread_pointer`` and ``stack_start`` (of the first thread) are addresses.
    """

    comm: str
    words: tuple[int, ...]
    switches: int
    steady: bool
    runnable: bool
    stopped: bool
    kernel: bool
    is_64_bit: bool
    thread_pointer: int
    stack_start: int
    not_run_since_ns: Optional[int] = None
