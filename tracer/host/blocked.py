"""Threads that are inside a system call on a socket now, from ``/proc/PID/task/TID/syscall`` (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Optional

from tracer.machine import calls
from tracer.machine.registers import PAGE_SIZE, REGISTER_COUNT, RETURN_ADDRESS, RSP
from tracer.model.connection import Actor, Blocked
from tracer.model.frame import BlackBox, Stack

# Calls that do the socket's own work, with the arguments that are descriptors. poll, select and epoll_wait are not
# here: a thread that waits for many sockets is not at work on this one.
_FIRST = (0,)
_DESCRIPTORS = {
    **dict.fromkeys(("read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "accept", "accept4"), _FIRST),
    **dict.fromkeys(("write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "sendfile", "connect"), _FIRST),
    "splice": (0, 2),
}


_STACK_BYTES = 1 << 16


@dataclass(frozen=True)
class BlockedCall:
    """A thread inside ``syscall`` on ``fd`` when it was looked at, with its user stack pointer and program counter.

    The other registers of a running thread cannot be had without stopping it. ``line`` is what the kernel said of it.
    """

    actor: Actor
    fd: int
    syscall: str
    sp: int
    pc: int
    line: str = ""

    def snapshot(self) -> Optional[BlackBox]:
        """Copy the waiting thread's stack without stopping it; None if it went on meanwhile, or may not be read."""
        try:
            stack, whole = _copy(self.actor.pid, self.sp)
            with open(_syscall_path(self.actor.pid, self.actor.tid), encoding="ascii", errors="replace") as file:
                still = file.read() == self.line
        except OSError:
            return None
        if not still or not stack:
            return None
        known = {RSP: self.sp, RETURN_ADDRESS: self.pc}
        registers = tuple(known.get(number, 0) for number in range(REGISTER_COUNT))
        unknown = frozenset(range(REGISTER_COUNT)) - known.keys()
        return BlackBox(self.actor.pid, self.actor.tid, registers, stack, not whole, unknown)

    def as_blocked(self, stack: Optional[Stack] = None) -> Blocked:
        """Turn it into the report's value."""
        return Blocked(self.actor, self.fd, self.syscall, stack)


def blocked_calls(pid: int, fds: Collection[int]) -> tuple[BlockedCall, ...]:
    """Return the threads of ``pid`` that are inside a call on one of its descriptors ``fds`` now.

    Empty also where that cannot be known: no right to look (PTRACE_MODE_ATTACH), no such process, a 32-bit program,
    a kernel without /proc/PID/syscall.
    """
    if not fds or not _is_64_bit(pid):
        return ()
    try:
        threads = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return ()
    calls = (_call(pid, tid, fds) for tid in threads)
    return tuple(call for call in calls if call is not None)


def parse_syscall(text: str) -> Optional[tuple[str, tuple[int, ...], int, int]]:
    """Name, descriptors, sp and pc of one line of ``/proc/PID/syscall``; None unless it is a call on a socket.

    A thread that runs gives "running", one that is blocked outside a system call "-1 SP PC".
    """
    words = text.split()
    if len(words) != 9:
        return None
    try:
        name = calls.name(int(words[0]))
        values = [int(word, 16) for word in words[1:]]
    except ValueError:
        return None
    if name is None or name not in _DESCRIPTORS:
        return None
    # The kernel reads a descriptor from the low half of the register; what the high half holds is chance.
    return name, tuple(values[at] & 0xFFFFFFFF for at in _DESCRIPTORS[name]), values[6], values[7]


def _call(pid: int, tid: int, fds: Collection[int]) -> Optional[BlockedCall]:
    try:
        with open(_syscall_path(pid, tid), encoding="ascii", errors="replace") as file:
            line = file.read()
        parsed = parse_syscall(line)
        if parsed is None:
            return None
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
            comm = file.read().rstrip("\n")
    except OSError:
        return None
    name, candidates, sp, pc = parsed
    fd = next((candidate for candidate in candidates if candidate in fds), None)
    return None if fd is None else BlockedCall(Actor(pid, tid, comm), fd, name, sp, pc, line)


def _syscall_path(pid: int, tid: int) -> str:
    return f"/proc/{pid}/task/{tid}/syscall"


def _copy(pid: int, sp: int) -> tuple[bytes, bool]:
    """The stack from ``sp`` upward, page by page, and whether its end was met before the copy's."""
    parts = []
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = sp
        while at < sp + _STACK_BYTES:
            size = PAGE_SIZE - at % PAGE_SIZE
            try:
                parts.append(os.pread(memory, size, at))
            except OSError:
                return b"".join(parts), True
            at += size
    finally:
        os.close(memory)
    return b"".join(parts), False


def _is_64_bit(pid: int) -> bool:
    """Whether its program is ELFCLASS64: 32-bit ones number their calls differently."""
    try:
        with open(f"/proc/{pid}/exe", "rb") as file:
            return file.read(5) == b"\x7fELF\x02"
    except OSError:
        return False
