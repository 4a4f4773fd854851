"""A program may map a file of a file system of its own (FUSE), which never answers: who reads that memory waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stacks.stackbox import Child, running
from tracer.host.threads import ThreadsNow
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.service import StackService

pytestmark = pytest.mark.root

PROGRAM = """
import ctypes, mmap, os, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.poll.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
a, b = socket.socketpair()
fuse = os.open("/dev/fuse", os.O_RDWR)
place = sys.argv[1].encode()
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
assert libc.mount(b"fuse", place, b"fuse", 0, options) == 0

# linux/fuse.h
def attributes(node):
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

def serve():
    answers = True
    while True:
        request = os.read(fuse, 1 << 17)
        size, what, unique, node = struct.unpack_from("<IIQQ", request)
        error, data = 0, b""
        if what == 26:
            data = struct.pack("<4I2H2I2H8I", 7, 31, 4096, 0, 8, 8, 65536, 1, 1, 0, *[0] * 8)
        elif what == 1:
            data = struct.pack("<4Q2I", 2, 0, 1000, 1000, 0, 0) + attributes(2)
        elif what == 3:
            data = struct.pack("<QII", 1000, 0, 0) + attributes(node)
        elif what == 14:
            data = struct.pack("<QIi", 1, 0, 0)
        elif what == 15:
            if not answers:
                continue
            answers = False
            data = struct.pack("<ihh", a.fileno(), 1, 0).ljust(4096, b"\\0")
        elif what in (2, 36, 42):
            continue
        elif what != 18:
            error = -38
        os.write(fuse, struct.pack("<IiQ", 16 + len(data), error, unique) + data)

if os.fork() == 0:
    libc.prctl(1, 9)
    serve()
file = os.open(place + b"/list", os.O_RDONLY)
page = libc.mmap(None, 4096, 1, 2, file, 0)
os.close(file)  # at its end it would wait for an answer to that
thread = threading.Thread(target=lambda: libc.poll(page, 1, -1), daemon=True)
thread.start()
while open(f"/proc/self/task/{thread.native_id}/syscall").read().split()[0] != "7":
    time.sleep(0.01)
print(a.fileno(), flush=True)
sys.stdin.readline()
assert libc.madvise(page, 4096, 4) == 0
os.write(fuse, struct.pack("<IiQQqq", 40, 2, 0, 2, 0, 0))  # the kernel forgets what it has read
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Child]:
    """A thread waits in poll(2); then the list that it gave to it is memory that never comes."""
    with running(sys.executable, "-c", PROGRAM, tmp_path, until="") as child:
        yield child


def test_a_thread_whose_memory_never_comes(program: Child) -> None:
    """It is found before that. Then a worker is given up, once; that is told, and the process is left alone."""
    keeper = Keeper()
    service = StackService(walker=keeper)
    threads, fd = ThreadsNow(read=service.read), int(program.said[0])
    (waiting,) = threads.waiting_on(program.pid, [fd])
    assert waiting.syscall == "poll"
    program.tell(b"\n")
    assert program.line() == "ready"
    begun = time.monotonic()
    assert threads.waiting_on(program.pid, [fd]) == ()
    assert threads.waiting_on(program.pid, [fd]) == ()
    assert time.monotonic() - begun < 8
    (harm,) = keeper.harms
    assert (harm.what, harm.part) == (f"process {program.pid}", "all")
    assert harm.why == "it did not come within 2 s"
    service.close()
