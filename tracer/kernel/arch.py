"""All that an architecture changes on the kernel side: registers and system call numbers. x86-64 for now."""

from __future__ import annotations

import os

from tracer.errors import HostUnsupported

# read write readv writev sendfile sendto recvfrom sendmsg recvmsg splice recvmmsg sendmmsg (asm/unistd_64.h)
_DATA_CALLS = (0, 1, 19, 20, 40, 44, 45, 46, 47, 275, 299, 307)

_X86_64 = {
    "CT_PT_REGS_SP": "sp",
    "CT_PT_REGS_SYSCALL": "orig_ax",
    # __USER_CS, and that of a Xen paravirtual guest (FLAT_USER_CS64); a 32-bit task runs with 0x23
    "CT_IS_64_BIT(cs)": "((cs) == 0x33 || (cs) == 0xe033)",
    "CT_TASK_THREAD_POINTER": "thread.fsbase",
    "CT_NR_SHUTDOWN": "48",
    "CT_DATA_SYSCALL(n)": "(" + " || ".join(f"(n) == {number}" for number in _DATA_CALLS) + ")",
}

# struct pt_regs (arch/x86/include/asm/ptrace.h) has r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs
# flags sp ss; DWARF numbers them rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip (System V psABI, figure 3.36).
PT_REGS_OF_DWARF = (10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16)


def defines() -> dict[str, str]:
    """The C macros of this machine; HostUnsupported on another architecture."""
    machine = os.uname().machine
    if machine != "x86_64":
        raise HostUnsupported(f"closetrace runs on x86-64; this machine is {machine}")
    return dict(_X86_64)
