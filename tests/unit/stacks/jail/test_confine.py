"""A worker from the inside: what the kernel says it is, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tracer.machine import calls
from tracer.stacks.jail.confine import HEADROOM_BYTES, assemble

UID = 2_147_000_001
INSIDE = f"""
import ctypes, json, mmap, os, socket, sys
from tracer.stacks.jail.confine import confine
status = os.open("/proc/self/status", os.O_RDONLY)
program = os.open("/usr/bin/true", os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
told = confine({UID})
tries = {{}}
def attempt(name, step):
    try:
        step()
        tries[name] = "done"
    except BaseException as error:
        tries[name] = type(error).__name__
def call(number, *words):
    if libc.syscall(number, *words) < 0:
        raise OSError(ctypes.get_errno(), "refused")
attempt("open", lambda: os.open("/etc/passwd", os.O_RDONLY))
attempt("list", lambda: os.listdir("/"))
attempt("create", lambda: os.open("file", os.O_CREAT | os.O_WRONLY))
attempt("socket", lambda: socket.socket())
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("execveat", lambda: call(322, program, b"", 0, 0, 0x1000))
attempt("fork", lambda: os.fork())
attempt("kill", lambda: os.kill(1, 0))
attempt("ptrace", lambda: call(101, 16, 1, 0, 0))
attempt("process_vm_readv", lambda: call(310, 1, 0, 0, 0, 0, 0))
attempt("memfd", lambda: os.memfd_create("x"))
attempt("uid", lambda: os.setuid(0))
attempt("unshare", lambda: call(272, 0x10000000))
attempt("mount", lambda: call(165, 0, 0, 0, 0, 0))
attempt("bpf", lambda: call(321, 0, 0, 0))
attempt("io_uring", lambda: call(425, 1, 0))
attempt("open_by_handle", lambda: call(304, 0, 0, 0))
attempt("read", lambda: os.pread(program, 4, 0))
attempt("map", lambda: mmap.mmap(program, 0, prot=mmap.PROT_READ))
attempt("memory", lambda: bytearray(32 << 20))
attempt("too much memory", lambda: bytearray({HEADROOM_BYTES} + (64 << 20)))
kernel = dict(line.split(":\\t", 1) for line in os.pread(status, 65536, 0).decode().splitlines() if ":\\t" in line)
json.dump([told, tries, kernel], sys.stdout)
sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def inside() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """What could not be taken, what came of each try, and ``/proc/self/status`` after it."""
    # Its standard output is a pipe, to which write(2) is refused: sent by a socket instead.
    script = INSIDE.replace("json.dump([told, tries, kernel], sys.stdout)", "OUT.sendall(SAY(told, tries, kernel))")
    script = script.replace("sys.stdout.flush()", "")
    prepare = "import json, socket, sys\nOUT = socket.socket(fileno=int(sys.argv[1]))\n"
    prepare += "SAY = lambda *all: json.dumps(all).encode()\n"
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", prepare + script, str(theirs.fileno())]
        subprocess.run(command, pass_fds=[theirs.fileno()], timeout=60, check=False)
        theirs.close()
        text = b"".join(iter(lambda: ours.recv(65536), b""))
    told, tries, kernel = json.loads(text)
    return told, tries, kernel


Inside = tuple[dict[str, str], dict[str, str], dict[str, str]]


@pytest.mark.root
def test_the_kernel_says_so(inside: Inside) -> None:
    """No capability, another user, no new privileges, a filter, not in our namespaces."""
    told, _, kernel = inside
    assert {part: why for part, why in told.items() if why} == {}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(kernel[name], 16) == 0
    assert kernel["NoNewPrivs"] == "1"
    assert kernel["Seccomp"] == "2"
    assert kernel["Uid"].split() == [str(UID)] * 4
    assert kernel["Gid"].split() == [str(UID)] * 4
    assert kernel["Groups"].split() == []


@pytest.mark.root
def test_nothing_but_reading_what_it_was_given(inside: Inside) -> None:
    """Whatever would reach beyond the process is refused; descriptors that it has may be read and mapped."""
    _, tries, _ = inside
    allowed = {name for name, result in tries.items() if result == "done"}
    assert allowed == {"read", "map", "memory"}
    assert tries.pop("too much memory") == "MemoryError"
    refused = {name: result for name, result in tries.items() if name not in allowed}
    assert set(refused.values()) == {"PermissionError"}, refused


def run(program: bytes, data: dict[int, int]) -> Any:
    """Run a filter on the words at these offsets of struct seccomp_data, as the kernel would."""
    import struct

    code = list(struct.iter_unpack("<HBBI", program))
    place = value = 0
    while True:
        operation, if_true, if_false, constant = code[place]
        place += 1
        if operation == 0x06:
            return constant
        if operation == 0x20:
            value = data[constant]
        else:
            assert operation == 0x15
            place += if_true if value == constant else if_false


@pytest.mark.parametrize(
    ("arch", "number", "verdict"),
    [
        (calls.AUDIT_ARCH, 0, 0x7FFF0000),
        (calls.AUDIT_ARCH, 231, 0x7FFF0000),
        (calls.AUDIT_ARCH, 2, 0x00050001),
        (calls.AUDIT_ARCH, 0x40000000, 0x00050001),
        (0x40000003, 0, 0x80000000),
    ],
)
def test_the_filter(arch: int, number: int, verdict: int) -> None:
    """Listed calls pass, others give EPERM (x32 ones too), those of another machine end the process."""
    assert run(assemble([0, 17, 231]), {0: number, 4: arch}) == verdict


def test_the_longest_filter_still_jumps_right() -> None:
    """Jumps are of 8 bits: the list may not be longer."""
    from tracer.stacks.jail import confine

    assert len(confine._CALLS) < 255
    numbers: Any = [calls.number(name) for name in confine._CALLS]
    assert all(run(assemble(numbers), {0: number, 4: calls.AUDIT_ARCH}) == 0x7FFF0000 for number in numbers)
