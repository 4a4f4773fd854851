"""Runs a function in another network namespace."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Callable, Optional, TypeVar

from tracer.errors import ClosetraceError

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


class NetnsUnreachable(ClosetraceError):
    """A network namespace cannot be entered: it is gone, the path is something else, or CAP_SYS_ADMIN is missing."""


def inside(path: Optional[str], call: Callable[[], T]) -> T:
    """Run ``call()`` in the network namespace at ``path`` and return its result.

    ``path`` is ``/proc/PID/ns/net`` or ``/run/netns/NAME``; None is the namespace of this process. Each thread has its
    own namespace, so a new thread enters it and the rest of this process does not. A socket made there stays in that
    namespace. Raises NetnsUnreachable, and everything that ``call`` raises.
    """
    if path is None:
        return call()
    results: list[T] = []
    failures: list[BaseException] = []

    def visit() -> None:
        try:
            _enter(path)
            results.append(call())
        except BaseException as error:  # raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=visit, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def path_of(netns: str) -> str:
    """Give the path of a network namespace. Users name it by pid, path, or a name of ip-netns(8)."""
    if netns.isdigit():
        return f"/proc/{netns}/ns/net"
    return netns if "/" in netns else f"/run/netns/{netns}"


def inode_of(path: str) -> int:
    """Return the inode number of the network namespace at ``path``. It is its identity. Raises NetnsUnreachable."""
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {reason}") from None


def current() -> int:
    """Return the inode of the calling thread's network namespace. BPF and ``/proc`` use the same number."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def _enter(path: str) -> None:
    """Move only the calling thread into the network namespace at ``path``. Raises NetnsUnreachable."""
    try:
        # O_NONBLOCK: if the path is a FIFO, open must not block.
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
