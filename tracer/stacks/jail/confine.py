"""Takes away from this process all that a worker does not need. For good: each step only ever takes.

Each step is tried, whatever became of the others; what could not be taken is told with the reason.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import tempfile
from typing import Any, Callable

from tracer.machine import calls

HEADROOM_BYTES = 384 << 20
"""Address space beyond what the worker has at its start."""
_MAX_FILES = 1024
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SIGKILL = 9
_BPF_LOAD, _BPF_EQUAL, _BPF_RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_CALLS = (
    "read pread64 preadv2 lseek close fstat newfstatat fcntl dup recvfrom recvmsg sendto sendmsg poll mmap munmap "
    "mremap mprotect madvise brk rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall sched_yield "
    "futex getpid gettid clock_gettime gettimeofday getrandom exit exit_group"
).split()
"""What Python, libdw, numpy and the connection to the root process need. newfstatat is how the C library does fstat."""


def confine(uid: int) -> dict[str, str]:
    """Take everything, and become user ``uid``: part by part, empty where it was taken, else why not."""
    libc, used = ctypes.CDLL(None, use_errno=True), _address_space()
    steps: dict[str, Callable[[], None]] = {
        "network": lambda: _check(libc.unshare(_CLONE_NEWNET)),
        "namespaces": lambda: _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC)),
        "root": _enter_empty_root,
        "limits": lambda: _limit(used),
        "bounding set": lambda: _drop_bounding_set(libc),
        "groups": lambda: os.setgroups([]),
        "uid": lambda: _become(uid),
        "capabilities": lambda: _drop_capabilities(libc),
        "privileges": lambda: _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        "dumpable": lambda: _check(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)),
        "orphan": lambda: _check(libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)),
        "seccomp": lambda: _filter(libc),
    }
    return {name: _reason(step) for name, step in steps.items()}


def _reason(step: Callable[[], None]) -> str:
    try:
        step()
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter_empty_root() -> None:
    """A directory that is removed while this is in it: nothing is there, and nothing can be made there."""
    place = tempfile.mkdtemp(prefix="closetrace-")
    try:
        os.chdir(place)
    finally:
        os.rmdir(place)
    os.chroot(".")


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _limit(used: int) -> None:
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_AS, used + HEADROOM_BYTES),
    ):
        resource.setrlimit(limit, (most, most))


def _drop_bounding_set(libc: Any) -> None:
    for number in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0):
            if ctypes.get_errno() == errno.EINVAL:
                break  # no such capability any more
            _check(-1)


def _become(uid: int) -> None:
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _drop_capabilities(libc: Any) -> None:
    """All of them, also where the user id had to stay: root without capabilities."""
    none = struct.pack("<6I", 0, 0, 0, 0, 0, 0)
    _check(libc.capset(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), none))


def _filter(libc: Any) -> None:
    program = ctypes.create_string_buffer(assemble([calls.number(name) for name in _CALLS]))
    size = (len(program) - 1) // 8
    # struct sock_fprog
    described = struct.pack("@HP", size, ctypes.addressof(program))
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(described), 0, 0))


def assemble(allowed: list[int]) -> bytes:
    """The filter (struct sock_filter, linux/filter.h): these calls of this machine, EPERM for all others.

    Calls of another kind of program (32-bit) end the process.
    """
    code = [
        (_BPF_LOAD, 0, 0, 4),  # struct seccomp_data: arch
        (_BPF_EQUAL, 1, 0, calls.AUDIT_ARCH),
        (_BPF_RETURN, 0, 0, _KILL),
        (_BPF_LOAD, 0, 0, 0),  # nr
    ]
    code += [(_BPF_EQUAL, len(allowed) - place, 0, number) for place, number in enumerate(allowed)]
    code += [(_BPF_RETURN, 0, 0, _EPERM), (_BPF_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
