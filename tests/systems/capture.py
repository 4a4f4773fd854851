"""Takes a black box of a thread that is blocked in a system call, by ptrace and not by the recorder."""

from __future__ import annotations

import ctypes
import os

from tracer.model.frame import BlackBox

_PTRACE_GETREGS, _PTRACE_ATTACH, _PTRACE_DETACH = 12, 16, 17
_WALL = 0x40000000
# struct user_regs_struct (sys/user.h) in the order of the DWARF registers rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip.
_DWARF_ORDER = (10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def black_box(pid: int, tid: int, size: int = 1 << 20) -> BlackBox:
    """Copy the registers and at most ``size`` bytes of stack of thread ``tid`` of process ``pid``."""
    _ptrace(_PTRACE_ATTACH, tid)
    try:
        os.waitpid(tid, _WALL)
        registers = (ctypes.c_uint64 * 27)()
        _ptrace(_PTRACE_GETREGS, tid, ctypes.addressof(registers))
        sp = registers[19]
        available = _stack_end(pid, sp) - sp
        stack = _read(pid, sp, min(size, available))
    finally:
        _ptrace(_PTRACE_DETACH, tid)
    return BlackBox(pid, tid, tuple(registers[index] for index in _DWARF_ORDER), stack, cut=available > size)


def _ptrace(request: int, tid: int, data: int = 0) -> None:
    if _libc.ptrace(request, tid, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _stack_end(pid: int, sp: int) -> int:
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= sp < end:
                return end
    raise LookupError(f"no mapping around {sp:#x}")


def _read(pid: int, address: int, size: int) -> bytes:
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(descriptor, size, address)
    finally:
        os.close(descriptor)
