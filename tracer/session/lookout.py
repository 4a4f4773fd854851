"""Looks at the threads behind leak sites at the moment of a report, within bounds of number and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Optional

from tracer.diagnose.hanging import handed, wanted_beside
from tracer.diagnose.present import Toucher, Wanted, grouped, present, wanted
from tracer.diagnose.sites import with_present
from tracer.host.listening import Listening
from tracer.host.syscalls import POLLS
from tracer.host.thread_times import began_ns
from tracer.host.threads import ThreadsNow, tids_of
from tracer.model.finding import Site
from tracer.model.frame import BlackBox, Stack
from tracer.model.thread import Present, Standing, ThreadNow
from tracer.session.polling import Polls, polled_of, pollers_of
from tracer.trail import Took, Trail

_log = Trail(__name__)

_OF_A_SITE, _IN_ALL, _BUDGET_NS = 64, 600, 1_000_000_000
"""So many threads are looked at, and for so long. The others are counted."""
_AT_ONCE = 16
_FOR_POLLS = 2000
"""Up to so many threads a process are asked which call they are in, which takes 0.02 ms each."""

Thread = tuple[int, int]


class Lookout:
    """Completes the sites of one report. A thread is looked at once, though several sites may ask for it."""

    def __init__(self, threads: ThreadsNow, unwind: Callable[[BlackBox], Stack]) -> None:
        self._threads, self._unwind = threads, unwind
        self._seen: dict[Thread, Optional[Present]] = {}
        self._tids: dict[int, frozenset[int]] = {}
        self._listening, self._polls = Listening(), Polls()
        self._held: dict[int, set[int]] = {}
        self._asked: set[int] = set()
        self._until_ns = time.monotonic_ns() + _BUDGET_NS

    def complete(self, sites: Iterable[Site]) -> tuple[Site, ...]:
        """The same sites, each with where its threads are now.

        First come those that are known to matter for a site, then all others of their processes, if these tell nothing.
        """
        took = Took()
        looks = [(site, *self._looked_at(wanted(site))) for site in sites]
        self._held = polled_of(site for site, _, _ in looks)
        completed = tuple(self._completed(*look) for look in looks)
        _log.debug("threads: %d looked at in %s", len(self._seen), took)
        return completed

    def _completed(self, site: Site, found: list[Present], left: int) -> Site:
        for pid in pollers_of(site):
            self._look_for_pollers(pid)
        found = self._polls.of_site(site, found)
        others, left_beside = self._looked_at(wanted_beside(site, found))
        known = {(thread.pid, thread.tid) for one in found for thread in one.threads}
        others = [one for one in others if (one.threads[0].pid, one.threads[0].tid) not in known]
        return with_present(site, (*grouped(found), *handed(site, grouped(others))), left + left_beside)

    def _look_for_pollers(self, pid: int) -> None:
        """Look at those threads of a process that poll one of the sites' sockets, once, as long as there is time."""
        if pid in self._asked or len(self._all(pid)) > _FOR_POLLS or time.monotonic_ns() > self._until_ns:
            return
        self._asked.add(pid)
        others = [tid for tid in self._all(pid) if (pid, tid) not in self._seen]
        for thread in self._threads.in_poll(pid, others, self._held[pid]):
            self._told(thread)
            if time.monotonic_ns() > self._until_ns:
                return

    def _looked_at(self, wants: Wanted) -> tuple[list[Present], int]:
        """Where each of them is, and how many were too many."""
        touchers = wants.touchers[:_OF_A_SITE]
        gone = [one for one in touchers if self._has_gone(one)]
        threads = [(one.actor.pid, one.actor.tid) for one in touchers if one not in gone and self._alive(one.actor.pid)]
        left = len(wants.touchers) - len(touchers)
        for pid, most in wants.processes:
            tids = sorted(self._all(pid))
            threads += [(pid, tid) for tid in tids] if len(tids) <= most else []
            left += len(tids) if len(tids) > most else 0
        left += self._look([thread for thread in threads if thread not in self._seen])
        found = [one for thread in threads if (one := self._seen.get(thread)) is not None]
        return [*found, *(Present((one.actor,), Standing.GONE) for one in gone)], left

    def _alive(self, pid: int) -> bool:
        return bool(self._all(pid))

    def _all(self, pid: int) -> frozenset[int]:
        if pid not in self._tids:
            self._tids[pid] = frozenset(tids_of(pid))
        return self._tids[pid]

    def _has_gone(self, toucher: Toucher) -> bool:
        """Whether the thread has ended and its process has not; its number may be another thread's by now."""
        began = began_ns(toucher.actor.pid, toucher.actor.tid)
        return self._alive(toucher.actor.pid) and (began is None or began > toucher.ns)

    def _look(self, fresh: list[Thread]) -> int:
        """Look at threads that were not looked at before. Returns how many there was no time for."""
        left = 0
        for begin in range(0, len(fresh), _AT_ONCE):
            some = fresh[begin : begin + _AT_ONCE]
            if len(self._seen) + len(some) > _IN_ALL or time.monotonic_ns() > self._until_ns:
                left += len(some)
                continue
            for pid in {pid for pid, _ in some}:
                self._look_at(pid, [tid for one, tid in some if one == pid])
        return left

    def _look_at(self, pid: int, tids: list[int]) -> None:
        self._seen.update({(pid, tid): None for tid in tids})
        for thread in self._threads.look_all(pid, tids):
            self._told(thread)

    def _told(self, thread: ThreadNow) -> None:
        """Keep what is told of a thread."""
        stack = self._unwind(thread.box) if thread.box is not None else None
        polls, at = thread.syscall in POLLS, thread.actor
        one = present(thread, stack, serves=polls and self._listening.among(at.tid, thread.fds))
        self._seen[at.pid, at.tid] = one
        if polls:
            self._polls.add(thread, one)
