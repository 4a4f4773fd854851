"""Descriptors that a thread has in a table of its own (unshare(2) with CLONE_FILES), beside that of its process.

``/proc/PID/fd`` shows the table of a process's first thread alone; ``/proc/PID/task/TID/fd`` shows a thread's. Hardly
any program does that, so it is looked at only for a socket that no process was found to hold.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Optional

from tracer.host.descriptors import links_of, socket_inode
from tracer.host.processes import comm_of, is_exiting
from tracer.host.processes import pids as all_pids
from tracer.host.threads import tids_of
from tracer.machine import calls
from tracer.model.connection import Holder

_KCMP = calls.number("kcmp")
_KCMP_FILES = 2
_LOOK_NS = 100_000_000
"""So long a look takes at most: enough for some 20,000 threads. Programs choose how many threads they have."""
_MOST_TABLES = 64
"""Tables of one process that are read. More threads with a table each are left out, and that is told."""
_ONE_THREAD = 3
"""Links of ``/proc/PID/task`` where there is one thread: two, and one for each thread."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ThreadHolders:
    """Who holds which socket inode in a table of its own; how many processes could not be looked through."""

    holders: dict[int, tuple[Holder, ...]] = field(default_factory=dict)
    left_out: int = 0


NO_HOLDERS = ThreadHolders()


def same_table(one: int, other: int) -> Optional[bool]:
    """Whether two threads share their descriptors (kcmp(2), KCMP_FILES); None if that cannot be told.

    A process is its first thread here. If that has ended alone, it has no table to compare.
    """
    if one == other:
        return True
    order = _libc.syscall(_KCMP, one, other, _KCMP_FILES, 0, 0)
    if order == 0:
        return True
    return None if order < 0 or is_exiting(one) else False


def read_thread_tables(
    inodes: Collection[int], first: Iterable[int] = (), unreadable: Collection[int] = ()
) -> ThreadHolders:
    """Who holds each of these inodes in a table of a thread's own, in all processes but those that are ``unreadable``.

    The processes of ``first`` come first.
    """
    wanted = {inode for inode in inodes if inode}
    if not wanted:
        return NO_HOLDERS
    until_ns = time.monotonic_ns() + _LOOK_NS
    found: dict[int, tuple[Holder, ...]] = {}
    left_out = 0
    for pid in dict.fromkeys((*first, *all_pids())):
        if pid in unreadable or _has_one_thread(pid):
            continue
        for tid in _own_tables(pid, until_ns):
            if tid is None or not _read(pid, tid, wanted, found, until_ns):
                left_out += 1
                break
    return ThreadHolders(found, left_out)


def _has_one_thread(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink <= _ONE_THREAD
    except OSError:
        return True


def _own_tables(pid: int, until_ns: int) -> Iterator[Optional[int]]:
    """One thread for each table that is not the process's; at the end None if not all threads could be looked at."""
    if time.monotonic_ns() > until_ns:
        yield None
        return
    tids = tids_of(pid)
    tables = [pid]
    for tid in tids:
        if time.monotonic_ns() > until_ns or len(tables) > _MOST_TABLES:
            yield None
            return
        same = same_table(pid, tid)
        if same is None and not os.path.exists(f"/proc/{pid}/task/{tid}"):
            continue  # it has ended
        if same or any(same_table(table, tid) for table in tables[1:]):
            continue
        tables.append(tid)
        yield tid


def _read(pid: int, tid: int, wanted: Collection[int], found: dict[int, tuple[Holder, ...]], until_ns: int) -> bool:
    """Add what a thread holds; False if not all of its table could be read."""
    try:
        for fd, link in links_of(f"/proc/{pid}/task/{tid}/fd"):
            inode = socket_inode(link)
            if inode in wanted:
                found[inode] = (*found.get(inode, ()), Holder(pid, fd, comm_of(pid), tid=tid))
            if time.monotonic_ns() > until_ns:
                return False
    except PermissionError:
        return False
    return True
