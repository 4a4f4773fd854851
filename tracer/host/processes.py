"""The processes that run now, read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Optional

from tracer.host.netns import NetnsUnreachable, other_paths, unreachable

_PF_EXITING, _PF_KTHREAD = 0x00000004, 0x00200000  # include/linux/sched.h
_ENDED = (b"Z", b"X")


@dataclass(frozen=True)
class ProcessInfo:
    """A process now. ``start_ticks`` (clock ticks after boot) with ``pid`` is its identity: pids are used again.

    ``netns`` is the inode of its network namespace, 0 if it may not be read.
    ``ended``: it is a zombie with all its threads, only its entry is left for the parent to read.
    """

    pid: int
    comm: str
    start_ticks: int
    netns: int
    ended: bool = False


def pids() -> list[int]:
    """All processes (thread groups) that this one can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


class _Stat(NamedTuple):
    """What closetrace reads of ``/proc/PID/stat`` (proc(5))."""

    comm: str
    state: bytes
    parent: int
    flags: int
    start_ticks: int


def _stat(pid: int) -> Optional[_Stat]:
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
    return _Stat(name.decode(errors="replace"), fields[0], int(fields[1]), int(fields[6]), int(fields[19]))


def process_info(pid: int) -> Optional[ProcessInfo]:
    """Tell what ``pid`` is now, None if it is no more."""
    stat = _stat(pid)
    if stat is None:
        return None
    netns = 0
    with contextlib.suppress(NetnsUnreachable):
        netns, _path = netns_of(pid)
    return ProcessInfo(pid, stat.comm, stat.start_ticks, netns, ended=_has_ended(pid, stat))


def can_have_descriptors(pid: int) -> bool:
    """Whether ``pid`` runs a program: a zombie and a thread of the kernel have no descriptor table to read."""
    stat = _stat(pid)
    return stat is not None and not stat.flags & _PF_KTHREAD and not _has_ended(pid, stat)


def is_kernel_thread(pid: int) -> bool:
    """Whether ``pid`` is a thread of the kernel, and no program."""
    stat = _stat(pid)
    return stat is not None and bool(stat.flags & _PF_KTHREAD)


def is_exiting(pid: int) -> bool:
    """Whether the first thread of ``pid`` is about to end, or has ended: nothing but the kernel's own work is left."""
    stat = _stat(pid)
    return stat is not None and bool(stat.flags & _PF_EXITING)


def is_zombie(pid: int) -> bool:
    """Whether all of process ``pid`` has ended."""
    stat = _stat(pid)
    return stat is not None and _has_ended(pid, stat)


def _has_ended(pid: int, stat: _Stat) -> bool:
    """Its first thread, which ``stat`` tells of, may have ended alone: others have its descriptors and go on."""
    try:
        return stat.state in _ENDED and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def parent_of(pid: int) -> Optional[int]:
    """The parent of ``pid`` now (1 or a subreaper if the one that made it has ended); None if ``pid`` is no more."""
    stat = _stat(pid)
    return None if stat is None else stat.parent


def start_ticks_of(pid: int) -> Optional[int]:
    """When ``pid`` began, in clock ticks after boot: with the number its identity. None if it is no more."""
    stat = _stat(pid)
    return None if stat is None else stat.start_ticks


def children() -> dict[int, list[int]]:
    """The whole tree of processes: parent -> children, by one reading of ``/proc/*/stat``."""
    found: dict[int, list[int]] = {}
    for pid in pids():
        parent = parent_of(pid)
        if parent:
            found.setdefault(parent, []).append(pid)
    return found


def descendants(roots: Iterable[int]) -> set[int]:
    """All children of ``roots``, their children and so on, as they are now; the roots themselves are not among them."""
    tree, found, left = children(), set[int](), list(roots)
    begun = set(left)
    while left:
        fresh = [pid for pid in tree.get(left.pop(), ()) if pid not in found and pid not in begun]
        found.update(fresh)
        left += fresh
    return found


def netns_of(pid: int) -> tuple[int, str]:
    """Return the inode of the network namespace of ``pid``, and a path to enter it by. Raises NetnsUnreachable."""
    path = f"/proc/{pid}/ns/net"
    try:
        return os.stat(path).st_ino, path
    except OSError as error:
        for other in other_paths(pid):
            with contextlib.suppress(OSError):
                return os.stat(other).st_ino, other
        what = f"the network namespace of process {pid} cannot be read"
        if isinstance(error, PermissionError):
            what = f"{named(pid)} cannot be read without root (CAP_SYS_PTRACE), so run closetrace with sudo"
            if os.geteuid() == 0:
                what = f"{named(pid)} cannot be read, since this root lacks CAP_SYS_PTRACE"
        raise unreachable(what, error.errno or 0) from None


def comm_of(pid: int) -> str:
    """Name of ``pid`` (the comm of its first thread); "?" if it cannot be read."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace", newline="\n") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "?"


def named(pid: int) -> str:
    """Name ``pid`` for people: ``nginx (pid 17)``, or ``pid 17`` if its name cannot be read."""
    comm = comm_of(pid).strip()
    return f"pid {pid}" if comm == "?" else f"{comm} (pid {pid})"


def thread_group(pid: int) -> Optional[int]:
    """Give the process that the thread or process ``pid`` belongs to; None if there is no such thread."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace", newline="\n") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Tgid:")), None)
    except OSError:
        return None


def memory_of(pid: int) -> int:
    """Give the anonymous memory of ``pid`` in bytes, 0 if it is gone; the mapped stacks are the kernel side's."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace", newline="\n") as file:
            words = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return 0
    return int(words.get("RssAnon", words.get("VmRSS", "0 kB")).split()[0]) * 1024
