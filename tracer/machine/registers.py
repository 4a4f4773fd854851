"""Registers and pages of x86-64, with the numbers of DWARF, ELF and the kernel (System V psABI, AMD64, 1.0)."""

from __future__ import annotations

EM_MACHINE = 62
"""EM_X86_64: e_machine of the ELF files that can be unwound."""

ELF_MACHINE_NAME = "x86-64"

REGISTER_NAMES = tuple("rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split())
"""The index is the DWARF number (psABI, figure 3.36). The last one is the return address column."""

REGISTER_COUNT = len(REGISTER_NAMES)

RBP = REGISTER_NAMES.index("rbp")
RSP = REGISTER_NAMES.index("rsp")
RETURN_ADDRESS = REGISTER_NAMES.index("rip")

PRESERVED = tuple(REGISTER_NAMES.index(name) for name in "rbx rbp r12 r13 r14 r15".split())
"""The registers that a callee preserves, without rsp (psABI 3.2.1)."""

_PT_REGS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs flags rsp ss".split()
"""The 64-bit words of struct pt_regs (arch/x86/include/asm/ptrace.h)."""

PT_REGS_COUNT = len(_PT_REGS)

PT_REGS_OF_DWARF = tuple(_PT_REGS.index(name) for name in REGISTER_NAMES)
"""For each DWARF register: the index of its word in struct pt_regs."""

PT_REGS_SYSCALL = _PT_REGS.index("orig_rax")
"""Index of the word with the number of the current system call. The word is negative outside of a call."""

PT_REGS_ARGUMENTS = tuple(_PT_REGS.index(name) for name in "rdi rsi rdx r10 r8 r9".split())
"""Indexes of the words with the six arguments of a system call (psABI, A.2.1)."""

PAGE_SIZE = 4096
