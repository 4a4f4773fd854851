"""Which processes hold a socket now: their descriptors, read from ``/proc/PID/fd``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from typing import Optional

from tracer.host.processes import comm_of
from tracer.host.processes import pids as all_pids
from tracer.model.connection import Holder

_PREFIX = "socket:["


def holders(inodes: Collection[int], pids: Optional[Collection[int]] = None) -> dict[int, tuple[Holder, ...]]:
    """Who holds each of these socket inodes, among ``pids`` (None: all processes), by one pass over ``/proc/*/fd``.

    An inode that nobody holds has no key. Processes that end meanwhile or may not be read are passed over.
    """
    wanted = {f"{_PREFIX}{inode}]": inode for inode in inodes if inode}
    found: dict[int, list[Holder]] = {}
    if wanted:
        for pid in all_pids() if pids is None else pids:
            comm = None
            for fd, link in links(pid):
                inode = wanted.get(link)
                if inode is not None:
                    comm = comm if comm is not None else comm_of(pid)
                    found.setdefault(inode, []).append(Holder(pid, fd, comm))
    return {inode: tuple(several) for inode, several in found.items()}


def sockets_of(pid: int) -> dict[int, tuple[int, ...]]:
    """Return the sockets (of any kind) of ``pid``: inode -> descriptors. Empty if they cannot be read."""
    found: dict[int, list[int]] = {}
    for fd, link in links(pid):
        if link.startswith(_PREFIX):
            found.setdefault(int(link[len(_PREFIX) : -1]), []).append(fd)
    return {inode: tuple(fds) for inode, fds in found.items()}


def links(pid: int) -> Iterator[tuple[int, str]]:
    """Descriptor and link text of every descriptor of ``pid``."""
    names, directory = _open_table(f"/proc/{pid}/fd")
    if not names:
        # When the main thread has ended before the others, the table is reached through one of them alone.
        _close(directory)
        names, directory = _open_table(_other_table(pid))
    try:
        for name in names:
            with contextlib.suppress(OSError):
                yield int(name), os.readlink(name, dir_fd=directory)
    finally:
        _close(directory)


def _open_table(path: Optional[str]) -> tuple[list[str], int]:
    if path is None:
        return [], -1
    directory = -1
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return os.listdir(directory), directory
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
