"""Takes black boxes of threads by ptrace, runs the programs for them, and asks the oracles for stacks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.unit.present import present
from tracer.model.frame import BlackBox, Stack

PTRACE_GETREGS, PTRACE_ATTACH, PTRACE_DETACH = 12, 16, 17
# struct user_regs_struct (sys/user.h), in its order.
USER_REGS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
    "fs_base gs_base ds es fs gs"
).split()
DWARF_ORDER = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()


class LocalName(str):
    """The name of a local function of the C library. Equal to None too: only the library's debug file has it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other is None or super().__eq__(other)

    __hash__ = str.__hash__


GLIBC_START = [LocalName("__libc_start_call_main"), "__libc_start_main", "_start"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def capture(pid: int, tid: int | None = None, size: int = 16384) -> BlackBox:
    """Stop the thread, copy its registers and at most ``size`` bytes of stack page by page, then let it continue."""
    tid = tid or pid
    if _libc.ptrace(PTRACE_ATTACH, tid, None, None):
        raise OSError(ctypes.get_errno(), f"ptrace attach to {tid}")
    try:
        os.waitpid(tid, 0x40000000)  # __WALL: threads too
        registers = (ctypes.c_ulonglong * len(USER_REGS))()
        if _libc.ptrace(PTRACE_GETREGS, tid, None, registers):
            raise OSError(ctypes.get_errno(), "ptrace getregs")
        named = dict(zip(USER_REGS, registers))
        stack, cut = _copy(pid, named["rsp"], size)
    finally:
        _libc.ptrace(PTRACE_DETACH, tid, None, None)
    return BlackBox(pid, tid, tuple(named[name] for name in DWARF_ORDER), stack, cut)


def _copy(pid: int, sp: int, size: int) -> tuple[bytes, bool]:
    copied = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        while len(copied) < size:
            address = sp + len(copied)
            wanted = min(4096 - address % 4096, size - len(copied))
            try:
                memory.seek(address)
                piece = memory.read(wanted)
            except OSError:
                return copied, False
            copied += piece
            if len(piece) < wanted:
                return copied, False
    return copied, True


class Child:
    """A running program with pipes for its input and output. ``said`` has the lines that it has printed so far."""

    def __init__(self, words: list[str], cwd: Path | None) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd)
        self.pid = self.process.pid
        self.said: list[str] = []

    def line(self) -> str:
        """The next line that it prints, without the newline. Empty after the program has exited."""
        line = present(self.process.stdout).readline().decode().rstrip("\n")
        self.said.append(line)
        return line

    def tell(self, data: bytes) -> None:
        """Write ``data`` to its standard input."""
        stdin = present(self.process.stdin)
        stdin.write(data)
        stdin.flush()

    def end(self) -> None:
        """Kill it and wait until it has exited."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(*command: object, until: str = "ready", cwd: Path | None = None) -> Iterator[Child]:
    """Run a program until it has printed a line with ``until``. It then blocks."""
    child = Child([str(word) for word in command], cwd)
    try:
        while until not in (line := child.line()):
            assert line or child.process.poll() is None, f"{command} ended without saying {until}"
        wait_blocked(child.pid)
        yield child
    finally:
        child.end()


def wait_blocked(pid: int, tid: int | None = None) -> None:
    """Wait until the thread sleeps in a system call."""
    for _ in range(500):
        with open(f"/proc/{pid}/task/{tid or pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "S":
                return
        time.sleep(0.01)
    raise TimeoutError(f"thread {tid or pid} does not block")


def threads(pid: int) -> list[int]:
    """List the thread ids of ``pid`` in ascending order."""
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))


def compile_c(directory: Path, name: str, source: str, *flags: str, compiler: str = "gcc") -> Path:
    """Compile ``source`` like production code, without frame pointers. Returns the path of the program."""
    suffix = ".cc" if compiler.endswith("++") else ".c"
    path = directory / (name + suffix)
    path.write_text(source)
    program = directory / name
    subprocess.run(
        [compiler, "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-o", program, path, *flags],
        check=True,
    )
    return program


def eu_stack(pid: int, tid: int | None = None, inlines: bool = False) -> list[str | None]:
    """Ask elfutils' own unwinder, which uses ptrace. Returns function names without versions, None for no name."""
    command = ["eu-stack", "-r", *(["-i"] if inlines else []), *(["-1"] if tid else []), "-p", str(tid or pid)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    names: list[str | None] = []
    current = False
    for line in text.splitlines():
        match = re.match(r"TID (\d+):", line)
        if match:
            current = int(match.group(1)) == (tid or pid)
        match = re.match(r"\s*#\d+\s+0x[0-9a-f]+\s*(?:-\s*\d+\s*)?(.*)$", line)
        if match and current:
            names.append(match.group(1).strip().partition("@")[0] or None)
    return names


def names(stack: Stack, inlined: bool = True) -> list[str | None]:
    """List the function names, innermost first."""
    return [frame.function for frame in stack.frames if inlined or not frame.inlined]
