"""System call numbers of x86-64 (asm/unistd_64.h) for the calls that use, wait for or let go of a socket."""

from __future__ import annotations

from typing import Optional

_X86_64 = {
    0: "read",
    1: "write",
    3: "close",
    7: "poll",
    19: "readv",
    20: "writev",
    23: "select",
    32: "dup",
    33: "dup2",
    40: "sendfile",
    42: "connect",
    43: "accept",
    44: "sendto",
    45: "recvfrom",
    46: "sendmsg",
    47: "recvmsg",
    48: "shutdown",
    59: "execve",
    60: "exit",
    202: "futex",
    231: "exit_group",
    232: "epoll_wait",
    270: "pselect6",
    271: "ppoll",
    275: "splice",
    276: "tee",
    281: "epoll_pwait",
    288: "accept4",
    292: "dup3",
    295: "preadv",
    296: "pwritev",
    299: "recvmmsg",
    307: "sendmmsg",
    322: "execveat",
    327: "preadv2",
    328: "pwritev2",
    426: "io_uring_enter",
    436: "close_range",
    441: "epoll_pwait2",
}


def name(number: int) -> Optional[str]:
    """Name of system call ``number``; None if it is unknown (-1) or has nothing to do with sockets."""
    return _X86_64.get(number)
