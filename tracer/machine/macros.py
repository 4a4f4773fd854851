"""The facts about x86-64 that the kernel side needs, as C macros."""

from __future__ import annotations

import os

from tracer.errors import HostUnsupported
from tracer.machine import calls

_DATA_CALLS = "read write readv writev sendfile sendto recvfrom sendmsg recvmsg splice recvmmsg sendmmsg".split()
"""Calls that move data of one descriptor, which is their first argument."""

_X86_64 = {
    "CT_PT_REGS_SP": "sp",
    "CT_PT_REGS_FP": "bp",
    "CT_PT_REGS_SYSCALL": "orig_ax",
    # __USER_CS, or FLAT_USER_CS64 in a Xen paravirtual guest. A 32-bit task has 0x23.
    "CT_IS_64_BIT(cs)": "((cs) == 0x33 || (cs) == 0xe033)",
    "CT_TASK_THREAD_POINTER": "thread.fsbase",
    "CT_NR_SHUTDOWN": str(calls.number("shutdown")),
    "CT_DATA_SYSCALL(n)": "(" + " || ".join(f"(n) == {calls.number(name)}" for name in _DATA_CALLS) + ")",
    # Other CPUs see the stores of one x86 CPU in order (Intel SDM volume 3, 8.2.2). Only the compiler could reorder.
    "CT_STORES_IN_ORDER()": 'asm volatile("" ::: "memory")',
}


def machine_macros() -> dict[str, str]:
    """The C macros of this machine, by name. Raises HostUnsupported on another architecture."""
    machine = os.uname().machine
    if machine != "x86_64":
        raise HostUnsupported(f"closetrace runs on x86-64; this machine is {machine}")
    return dict(_X86_64)
