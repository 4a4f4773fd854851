"""Whether a descriptor is a listening socket: by the inodes that sock_diag lists."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tracer.errors import ClosetraceError
from tracer.host.descriptors import socket_inode
from tracer.host.sockdiag import listeners

_MOST = 1024
"""Up to so many descriptors of one call are looked at."""


class Listening:
    """The listening sockets of the network namespaces that were asked for: each is listed once, when it is needed."""

    def __init__(self) -> None:
        self._inodes: dict[int, frozenset[int]] = {}

    def among(self, tid: int, fds: Iterable[int]) -> bool:
        """Whether one of these descriptors of a thread listens; False if that cannot be read.

        A thread may have a descriptor table and a network namespace of its own.
        """
        try:
            listening = self._of(tid)
        except (OSError, ClosetraceError):
            return False
        return any(_inode(tid, fd) in listening for fd in list(fds)[:_MOST])

    def _of(self, tid: int) -> frozenset[int]:
        path = f"/proc/{tid}/ns/net"
        netns = os.stat(path).st_ino
        if netns not in self._inodes:
            self._inodes[netns] = frozenset(one.inode for one in listeners(path))
        return self._inodes[netns]


def _inode(tid: int, fd: int) -> int:
    """The socket's inode, 0 if it is none."""
    try:
        return socket_inode(os.readlink(f"/proc/{tid}/fd/{fd}"))
    except OSError:
        return 0
