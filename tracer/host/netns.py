"""Asking another network namespace than the one that this process is in."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Callable, Optional, TypeVar

from tracer.errors import ClosetraceError

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


class NetnsUnreachable(ClosetraceError):
    """A network namespace cannot be entered: it is gone, it is none, or the right (CAP_SYS_ADMIN) is missing."""


def inside(path: Optional[str], call: Callable[[], T]) -> T:
    """Return ``call()``, made in the network namespace at ``path`` (``/proc/PID/ns/net``, ``/run/netns/NAME``).

    None is the namespace of this process. A namespace belongs to a thread, so a thread that does nothing else goes
    there and this process stays where it is; a socket made there keeps belonging to that namespace. Raises
    NetnsUnreachable, and whatever ``call`` raises.
    """
    if path is None:
        return call()
    results: list[T] = []
    failures: list[BaseException] = []

    def visit() -> None:
        try:
            _enter(path)
            results.append(call())
        except BaseException as error:  # handed to the caller, whose thread is the one that is waited for
            failures.append(error)

    thread = threading.Thread(target=visit, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def path_of(netns: str) -> str:
    """Give the path to a network namespace as users name it: a pid, a path, or a name of ip-netns(8)."""
    if netns.isdigit():
        return f"/proc/{netns}/ns/net"
    return netns if "/" in netns else f"/run/netns/{netns}"


def inode_of(path: str) -> int:
    """Return the inode number of the network namespace at ``path``, its identity. Raises NetnsUnreachable."""
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {reason}") from None


def current() -> int:
    """Return the inode of the calling thread's network namespace, its identity in BPF and in ``/proc``."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def _enter(path: str) -> None:
    """Move the calling thread, and it alone, into the network namespace at ``path``."""
    try:
        # O_NONBLOCK: a path that names a FIFO must not hang us.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {reason}") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            raise NetnsUnreachable(f"cannot enter the network namespace {path}: {reason}")
    finally:
        os.close(fd)
