"""System call numbers of x86-64 (asm/unistd_64.h).

The table has the calls on sockets, the calls in which threads wait, and the calls that closetrace itself makes.
"""

from __future__ import annotations

from typing import Optional

_NAMES = {
    0: "read",
    1: "write",
    2: "open",
    3: "close",
    5: "fstat",
    7: "poll",
    8: "lseek",
    9: "mmap",
    10: "mprotect",
    11: "munmap",
    12: "brk",
    13: "rt_sigaction",
    14: "rt_sigprocmask",
    15: "rt_sigreturn",
    16: "ioctl",
    17: "pread64",
    18: "pwrite64",
    19: "readv",
    20: "writev",
    23: "select",
    24: "sched_yield",
    25: "mremap",
    28: "madvise",
    32: "dup",
    33: "dup2",
    34: "pause",
    35: "nanosleep",
    39: "getpid",
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
    61: "wait4",
    65: "semop",
    69: "msgsnd",
    70: "msgrcv",
    72: "fcntl",
    73: "flock",
    74: "fsync",
    75: "fdatasync",
    96: "gettimeofday",
    128: "rt_sigtimedwait",
    130: "rt_sigsuspend",
    131: "sigaltstack",
    186: "gettid",
    202: "futex",
    208: "io_getevents",
    219: "restart_syscall",
    220: "semtimedop",
    228: "clock_gettime",
    230: "clock_nanosleep",
    231: "exit_group",
    232: "epoll_wait",
    247: "waitid",
    257: "openat",
    262: "newfstatat",
    270: "pselect6",
    271: "ppoll",
    275: "splice",
    276: "tee",
    281: "epoll_pwait",
    288: "accept4",
    292: "dup3",
    295: "preadv",
    296: "pwritev",
    298: "perf_event_open",
    299: "recvmmsg",
    307: "sendmmsg",
    312: "kcmp",
    318: "getrandom",
    321: "bpf",
    322: "execveat",
    327: "preadv2",
    328: "pwritev2",
    333: "io_pgetevents",
    426: "io_uring_enter",
    436: "close_range",
    441: "epoll_pwait2",
    449: "futex_waitv",
    455: "futex_wait",
}

AUDIT_ARCH = 0xC000003E
"""AUDIT_ARCH_X86_64 (linux/audit.h): how seccomp filters know the machine."""

_NUMBERS = {name: number for number, name in _NAMES.items()}


EXECS = ("execve", "execveat")
"""Calls that replace the program. What they close (close-on-exec) goes when the new program is about to begin."""


def name(number: int) -> Optional[str]:
    """Name of system call ``number``; None if it is -1 (not known) or not in the table."""
    return _NAMES.get(number)


def number(name: str) -> int:
    """Number of the system call ``name``. Raises KeyError if it is not in the table."""
    return _NUMBERS[name]
