"""Which processes hold a socket now: their descriptors, read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Optional

from tracer.flight.netns import NetnsUnreachable
from tracer.model.connection import Holder

_PREFIX = "socket:["


@dataclass(frozen=True)
class ProcessInfo:
    """A process now. ``start_ticks`` (clock ticks after boot) with ``pid`` is its identity: pids are used again.

    ``netns`` is the inode of its network namespace, 0 if it may not be read; ``cgroup`` is its cgroup v2 path.
    """

    pid: int
    comm: str
    start_ticks: int
    netns: int
    cgroup: Optional[str]


def pids() -> list[int]:
    """All processes (thread groups) that this one can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def holders(inodes: Collection[int], pids: Optional[Collection[int]] = None) -> dict[int, tuple[Holder, ...]]:
    """Who holds each of these socket inodes, among ``pids`` (None: all processes), by one pass over ``/proc/*/fd``.

    An inode that nobody holds has no key. Processes that end meanwhile or may not be read are passed over.
    """
    wanted = {f"{_PREFIX}{inode}]": inode for inode in inodes if inode}
    found: dict[int, list[Holder]] = {}
    if wanted:
        for pid in _all_pids() if pids is None else pids:
            comm = None
            for fd, link in _links(pid):
                inode = wanted.get(link)
                if inode is not None:
                    comm = comm if comm is not None else _comm(pid)
                    found.setdefault(inode, []).append(Holder(pid, fd, comm))
    return {inode: tuple(several) for inode, several in found.items()}


_all_pids = pids  # the parameter of holders() has the same name


def sockets_of(pid: int) -> dict[int, tuple[int, ...]]:
    """Return the sockets (of any kind) of ``pid``: inode -> descriptors. Empty if they cannot be read."""
    found: dict[int, list[int]] = {}
    for fd, link in _links(pid):
        if link.startswith(_PREFIX):
            found.setdefault(int(link[len(_PREFIX) : -1]), []).append(fd)
    return {inode: tuple(fds) for inode, fds in found.items()}


def process_info(pid: int) -> Optional[ProcessInfo]:
    """Tell what ``pid`` is now, None if it is no more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The comm stands in brackets and may itself hold brackets and blanks: count from the last one (proc(5)).
    name, _, rest = stat.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    if len(fields) < 20:
        return None
    netns = 0
    with contextlib.suppress(NetnsUnreachable):
        netns, _path = netns_of(pid)
    return ProcessInfo(pid, name.decode(errors="replace"), int(fields[19]), netns, _cgroup(pid))


def netns_of(pid: int) -> tuple[int, str]:
    """Return the inode of the network namespace of ``pid``, and a path to enter it by. Raises NetnsUnreachable."""
    path = f"/proc/{pid}/ns/net"
    try:
        return os.stat(path).st_ino, path
    except OSError as error:
        raise NetnsUnreachable(f"the network namespace of process {pid} cannot be read: {error.strerror}") from None


def _links(pid: int) -> Iterator[tuple[int, str]]:
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


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "?"


def _cgroup(pid: int) -> Optional[str]:
    """Return the v2 path: the line of hierarchy 0 (cgroups(7))."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return next((line.rstrip("\n")[3:] for line in file if line.startswith("0::")), None)
    except OSError:
        return None
