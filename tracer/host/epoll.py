"""Which epoll sets watch a socket, and for what: ``/proc/PID/fdinfo`` of the sets' descriptors (proc(5))."""

from __future__ import annotations

import functools
import operator
import re
import select
from collections.abc import Iterable, Mapping
from typing import Optional

from tracer.host.descriptors import Table, waits
from tracer.model.connection import Holder, Interest

_WATCHED = re.compile(r"tfd: *([0-9]{1,10}) +events: *([0-9a-f]+) .* ino:([0-9a-f]+)")
_MOST_DESCRIPTORS = 20_000
"""While the kernel lists a set, epoll_wait on it has to wait (mutex ep->mtx): not done to a process with more."""

_LONGEST_SET = 16 << 20
"""Characters of one set's fdinfo: some 200,000 watched descriptors."""


def parse_set(text: str) -> dict[int, tuple[int, int]]:
    """Inode -> (descriptor, events) of what an epoll set watches, from its fdinfo; lines without an inode are left out.

    A line is ``tfd: 11 events: 80000019 data: ... pos:0 ino:5d4a sdev:8``, all but the descriptor in hexadecimal
    (``ino`` since Linux 4.13, 77493f04b74c). The descriptor is as it was when it was added, and may be stale.
    """
    return {int(inode, 16): (int(fd), int(events, 16)) for fd, events, inode in _WATCHED.findall(text)}


def interests(held: Mapping[int, tuple[Holder, ...]], tables: Mapping[int, Table]) -> dict[int, tuple[Interest, ...]]:
    """The epoll sets of each socket's holders that watch it, by inode.

    ``held`` is who holds which inode, ``tables`` the holders' descriptor tables by pid.

    () means: in none, although a holder has a set that watches something. No key: not known, or none of its holders
    uses epoll, or the socket is in none and its descriptors block: who reads such a socket needs no epoll. Each set is
    read once.
    """
    holding = {holder.pid for several in held.values() for holder in several}
    sets = {pid: _sets_of(pid, tables.get(pid)) for pid in holding}
    using = {pid for pid, of_pid in sets.items() if of_pid is not None and any(of_pid.values())}
    found: dict[int, tuple[Interest, ...]] = {}
    for inode, several in held.items() if using else ():
        if using.isdisjoint(holder.pid for holder in several):
            continue
        theirs = [(pid, sets[pid]) for pid in sorted({holder.pid for holder in several})]
        mine = tuple(
            Interest(pid, number, *watched[inode])
            for pid, of_pid in theirs
            for number, watched in (of_pid or {}).items()
            if inode in watched
        )
        if mine or (all(of_pid is not None for _, of_pid in theirs) and _waits_for_none(several)):
            found[inode] = mine
    return found


def _waits_for_none(holders: Iterable[Holder]) -> bool:
    return all(waits(holder.table, holder.fd) is False for holder in holders)


def _sets_of(pid: int, table: Optional[Table]) -> Optional[dict[int, dict[int, tuple[int, int]]]]:
    """Epoll descriptor -> what it watches; None if that is not known."""
    if table is None or table.count > _MOST_DESCRIPTORS:
        return None
    return {fd: parse_set(_fdinfo(pid, fd)) for fd in table.epoll_fds}


def _fdinfo(pid: int, fd: int) -> str:
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
            return file.read(_LONGEST_SET)
    except OSError:
        return ""


_ARMED = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLERR | select.EPOLLHUP


def is_spent(events: int) -> bool:
    """Whether a set asked for one event (EPOLLONESHOT), was told of it, and has not asked again (EPOLL_CTL_MOD).

    The kernel clears all that was asked for when it tells of the event (ep_send_events() in fs/eventpoll.c). What is
    asked for has EPOLLERR and EPOLLHUP in any case.
    """
    return bool(events & select.EPOLLONESHOT) and not events & _ARMED


def event_names(events: int) -> tuple[str, ...]:
    """``EPOLLIN``, ``EPOLLOUT``... of a mask, without EPOLLERR and EPOLLHUP, which are reported in any case."""
    return tuple(name for name, bit in _NAMES if events & bit)


def event_mask(names: Iterable[str]) -> int:
    """The inverse of :func:`event_names`; names that it does not know are left out."""
    known = dict(_NAMES)
    return functools.reduce(operator.or_, (known.get(name, 0) for name in names), 0)


_NAMES = tuple(
    (name, getattr(select, name))
    for name in ("EPOLLIN", "EPOLLPRI", "EPOLLOUT", "EPOLLRDHUP", "EPOLLEXCLUSIVE", "EPOLLONESHOT", "EPOLLET")
)
