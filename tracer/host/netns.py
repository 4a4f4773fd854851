"""Runs a function in another network namespace."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from typing import Callable, Optional, TypeVar

from tracer.errors import ClosetraceError

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")
_DENIED = (errno.EACCES, errno.EPERM)


class NetnsUnreachable(ClosetraceError):
    """A network namespace cannot be entered: it is gone, it is none, or the right is missing (NetnsDenied)."""


class NetnsDenied(NetnsUnreachable):
    """A network namespace may not be found (CAP_SYS_PTRACE) or not be entered (CAP_SYS_ADMIN)."""


def unreachable(what: str, code: int) -> NetnsUnreachable:
    """The error to raise for an errno; ``what`` says what was tried."""
    kind = NetnsDenied if code in _DENIED else NetnsUnreachable
    return kind(f"{what}: {os.strerror(code)}")


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


def other_paths(pid: int) -> list[str]:
    """Where else to find the namespace of a process: its other threads have it if the first one has ended alone."""
    try:
        return [f"/proc/{pid}/task/{tid}/ns/net" for tid in os.listdir(f"/proc/{pid}/task") if tid != str(pid)]
    except OSError:
        return []


def inode_of(path: str) -> int:
    """Return the inode number of the network namespace at ``path``. It is its identity. Raises NetnsUnreachable."""
    try:
        return os.stat(path).st_ino
    except OSError as error:
        raise unreachable(f"cannot open the network namespace {path}", error.errno or 0) from None
    except ValueError as error:
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {error}") from None


def current() -> int:
    """Return the inode of the calling thread's network namespace. BPF and ``/proc`` use the same number."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def _enter(path: str) -> None:
    """Move only the calling thread into the network namespace at ``path``. Raises NetnsUnreachable."""
    try:
        # O_NONBLOCK: if the path is a FIFO, open must not block.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreachable(f"cannot open the network namespace {path}", error.errno or 0) from None
    except ValueError as error:
        raise NetnsUnreachable(f"cannot open the network namespace {path}: {error}") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
            raise unreachable(f"cannot enter the network namespace {path}", ctypes.get_errno())
    finally:
        os.close(fd)
