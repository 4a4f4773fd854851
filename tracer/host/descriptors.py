"""Which processes hold a socket now: their descriptors, read from ``/proc/PID/fd``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Optional

from tracer.host.processes import can_have_descriptors, comm_of
from tracer.host.processes import pids as all_pids
from tracer.model.connection import Holder

_PREFIX = "socket:["
_EPOLL_LINK = "anon_inode:[eventpoll]"


@dataclass(frozen=True)
class Table:
    """The descriptor table of a process: how many descriptors it has, and which of them are epoll sets."""

    count: int
    epoll_fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Descriptors:
    """Who holds which socket inode, and the processes whose descriptors may not be read (EACCES, EPERM).

    An inode that nobody holds has no key in ``holders``. ``tables`` has the table of each holder by pid, as it was when
    its descriptors were read; none if not all of it could be read. To read another user's table takes
    CAP_DAC_READ_SEARCH (the directory ``/proc/PID/fd`` is the owner's alone) and CAP_SYS_PTRACE (its links).
    """

    holders: dict[int, tuple[Holder, ...]] = field(default_factory=dict)
    unreadable: tuple[int, ...] = ()
    tables: dict[int, Table] = field(default_factory=dict)


def read_descriptors(inodes: Collection[int], pids: Optional[Collection[int]] = None) -> Descriptors:
    """Who holds each of these socket inodes, among ``pids`` (None: all processes), by one pass over ``/proc/*/fd``.

    Without an inode nothing is read. Processes that end meanwhile are passed over.
    """
    wanted = {inode for inode in inodes if inode}
    if not wanted:
        return Descriptors()
    found: dict[int, tuple[Holder, ...]] = {}
    others: dict[int, list[Holder]] = {}  # mostly a socket has one holder: then a list of its own would be a waste
    tables: dict[int, Table] = {}
    unreadable = []
    for pid in all_pids() if pids is None else pids:
        try:
            table = _read_table(pid, wanted, found, others)
        except PermissionError:
            unreadable.append(pid)
            continue
        if table is not None:
            tables[pid] = table
    found.update({inode: (*found[inode], *several) for inode, several in others.items()})
    return Descriptors(found, tuple(pid for pid in unreadable if can_have_descriptors(pid)), tables)


def _read_table(
    pid: int, wanted: Collection[int], found: dict[int, tuple[Holder, ...]], others: dict[int, list[Holder]]
) -> Optional[Table]:
    """Add what ``pid`` holds to ``found``, to ``others`` what is there already. Its table if it holds any ``wanted``.

    Raises PermissionError if the table may not be read.
    """
    comm, count, epoll_fds = None, 0, []
    for fd, link in _readable_links(pid):
        count += 1
        if link.startswith(_PREFIX):
            inode = int(link[len(_PREFIX) : -1])
            if inode in wanted:
                comm = comm if comm is not None else comm_of(pid)
                holder = Holder(pid, fd, comm)
                if found.setdefault(inode, mine := (holder,)) is not mine:
                    others.setdefault(inode, []).append(holder)
        elif link == _EPOLL_LINK:
            epoll_fds.append(fd)
    return None if comm is None else Table(count, tuple(epoll_fds))


def holders(inodes: Collection[int], pids: Optional[Collection[int]] = None) -> dict[int, tuple[Holder, ...]]:
    """The same, where it does not matter what may not be read."""
    return read_descriptors(inodes, pids).holders


def sockets_of(pid: int) -> dict[int, tuple[int, ...]]:
    """Return the sockets (of any kind) of ``pid``: inode -> descriptors. Empty if they cannot be read."""
    found: dict[int, list[int]] = {}
    with contextlib.suppress(PermissionError):
        for fd, link in _readable_links(pid):
            if link.startswith(_PREFIX):
                found.setdefault(int(link[len(_PREFIX) : -1]), []).append(fd)
    return {inode: tuple(fds) for inode, fds in found.items()}


def socket_inode(link: str) -> int:
    """The inode that the link of a descriptor names; 0 if it is no socket."""
    return int(link[len(_PREFIX) : -1]) if link.startswith(_PREFIX) else 0


def waits(pid: int, fd: int) -> Optional[bool]:
    """Whether calls on a descriptor wait, as it has no O_NONBLOCK; None if it cannot be read."""
    flags = _flags(pid, fd)
    return None if flags is None else not flags & os.O_NONBLOCK


def close_on_exec(pid: int, fd: int) -> Optional[bool]:
    """Whether exec closes a descriptor, as it has FD_CLOEXEC; None if it cannot be read."""
    flags = _flags(pid, fd)
    return None if flags is None else bool(flags & os.O_CLOEXEC)


def parse_flags(text: str) -> Optional[int]:
    """Flags of a descriptor from its fdinfo: those of open(2), and O_CLOEXEC for FD_CLOEXEC (proc_pid_fdinfo(5))."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            try:
                return int(value, 8)
            except ValueError:
                return None
    return None


def _flags(pid: int, fd: int) -> Optional[int]:
    """Made for thousands of them: the beginning of the fdinfo is enough."""
    try:
        file = os.open(f"/proc/{pid}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return parse_flags(os.read(file, 256).decode("ascii", "replace"))
    except OSError:
        return None
    finally:
        os.close(file)


def _readable_links(pid: int) -> Iterator[tuple[int, str]]:
    """Descriptor and link text of every descriptor of ``pid``. Raises PermissionError if they may not be read."""
    names, directory = _open_table(f"/proc/{pid}/fd")
    if not names:
        # When the main thread has ended before the others, the table is reached through one of them alone.
        _close(directory)
        names, directory = _open_table(_other_table(pid))
    yield from _links(names, directory)


def links_of(path: str) -> Iterator[tuple[int, str]]:
    """The same of one directory: ``/proc/PID/task/TID/fd``. Nothing if it is gone."""
    yield from _links(*_open_table(path))


def _links(names: list[str], directory: int) -> Iterator[tuple[int, str]]:
    """Closes ``directory`` at the end."""
    try:
        for name in names:
            try:
                link = os.readlink(name, dir_fd=directory)
            except PermissionError:
                raise
            except OSError:
                continue
            yield int(name), link
    finally:
        _close(directory)


def _open_table(path: Optional[str]) -> tuple[list[str], int]:
    if path is None:
        return [], -1
    directory = -1
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return os.listdir(directory), directory
    except PermissionError:
        _close(directory)
        raise
    except OSError:
        _close(directory)
        return [], -1


def _other_table(pid: int) -> Optional[str]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    return next((f"/proc/{pid}/task/{tid}/fd" for tid in threads if int(tid) != pid), None)


def _close(directory: int) -> None:
    if directory >= 0:
        os.close(directory)
