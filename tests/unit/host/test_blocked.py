"""Threads inside a call on a socket, against child programs that are blocked in calls that the test chose."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host.blocked import blocked_calls, parse_syscall

PRELUDE = """
import select, socket, sys, threading
a, b = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
other, _ = socket.socketpair()
def ready(fd): print(threading.get_native_id(), fd, flush=True)
"""

CALLS = {
    "recvfrom": "ready(a.fileno()); a.recv(10)",
    "recvmsg": "ready(a.fileno()); a.recvmsg(10)",
    "read": "import os; ready(a.fileno()); os.read(a.fileno(), 10)",
    "readv": "import os; ready(a.fileno()); os.readv(a.fileno(), [bytearray(10)])",
    "accept4": "ready(listener.fileno()); listener.accept()",
    "sendto": "ready(a.fileno())\nwhile True: a.send(bytes(65536))",
    "sendmsg": "ready(a.fileno())\nwhile True: a.sendmsg([bytes(65536)])",
    "write": "import os; ready(a.fileno())\nwhile True: os.write(a.fileno(), bytes(65536))",
    "sendfile": "import os; f = open(sys.executable, 'rb'); ready(a.fileno())\n"
    "while True: os.sendfile(a.fileno(), f.fileno(), 0, 65536)",
}

WAITS = {
    "poll": "p = select.poll(); p.register(a); p.modify(a, select.POLLIN); ready(a.fileno()); p.poll()",
    "select": "ready(a.fileno()); select.select([a], [], [])",
    "epoll_wait": "e = select.epoll(); e.register(a, select.EPOLLIN); ready(a.fileno()); e.poll()",
}


@contextmanager
def blocked_child(body: str) -> Iterator[tuple[int, int, int]]:
    """Run PRELUDE and ``body`` until it sleeps; pid, and the tid and descriptor that it printed."""
    process = subprocess.Popen([sys.executable, "-c", PRELUDE + body], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        tid, fd = map(int, process.stdout.readline().split())
        deadline = time.monotonic() + 10
        while Path(f"/proc/{process.pid}/task/{tid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline
        yield process.pid, tid, fd
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("syscall", CALLS)
def test_blocked_in(syscall: str) -> None:
    """A thread blocked in this call on the descriptor is found, with a pc in libc and an sp on the stack."""
    with blocked_child(CALLS[syscall]) as (pid, tid, fd):
        (call,) = blocked_calls(pid, [fd, 9999])
        assert (call.actor.pid, call.actor.tid, call.fd, call.syscall) == (pid, tid, fd, syscall)
        assert call.actor.comm == Path(f"/proc/{pid}/comm").read_text().strip()
        # Before glibc 2.34 the calls on sockets were in libpthread.
        assert mapping(pid, call.pc).startswith(("libc", "libpthread"))
        assert mapping(pid, call.sp) == "[stack]"
        assert call.as_blocked().stack is None
        assert blocked_calls(pid, [9999]) == ()


@pytest.mark.parametrize("syscall", WAITS)
def test_waiting_for_events_is_no_call_on_the_socket(syscall: str) -> None:
    """A thread in poll, select or epoll_wait is not at work on the socket."""
    with blocked_child(WAITS[syscall]) as (pid, _, fd):
        assert blocked_calls(pid, [fd]) == ()


def test_the_right_thread() -> None:
    """Of several threads the one that is in the call is named, with its own comm."""
    body = """
def work():
    open(f"/proc/self/task/{threading.get_native_id()}/comm", "w").write("reader-7")
    ready(a.fileno()); a.recv(10)
threading.Thread(target=other.recv, args=(1,)).start()
threading.Thread(target=work).start()
"""
    with blocked_child(body) as (pid, tid, fd):
        (call,) = blocked_calls(pid, [fd])
        assert (call.actor.tid, call.actor.comm) == (tid, "reader-7")
        assert tid != pid


def test_blocked_in_connect() -> None:
    """A connect that gets no answer is a call on the socket."""
    # A listener whose queue is full leaves further SYNs unanswered.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            body = f"s = socket.socket(); ready(s.fileno()); s.connect(('127.0.0.1', {port}))"
            with blocked_child(body) as (pid, tid, fd):
                (call,) = blocked_calls(pid, [fd])
                assert (call.actor.tid, call.syscall) == (tid, "connect")


def test_gone_or_idle() -> None:
    """A process that has ended, or one asked about no descriptor, has no blocked call."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert blocked_calls(process.pid, [0, 1, 2]) == ()
    assert blocked_calls(os.getpid(), []) == ()


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Whatever stands in the file, the parser gives a call or None."""
    parsed = parse_syscall(text)
    assert parsed is None or parsed[0]


def test_lines_of_the_kernel() -> None:
    """The forms of proc(5): a call, a running thread, one blocked outside any call; the descriptor is 32 bits wide."""
    line = "45 0xdeadbeef00000003 0x7f 0x80 0x0 0x0 0x0 0x7ffdfbf77958 0x7fb7c246f2ad\n"
    assert parse_syscall(line) == ("recvfrom", (3,), 0x7FFDFBF77958, 0x7FB7C246F2AD)
    assert parse_syscall("running\n") is None
    assert parse_syscall("-1 0x7ffdfbf77958 0x7fb7c246f2ad\n") is None


def mapping(pid: int, address: int) -> str:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        low, high = (int(word, 16) for word in line.split()[0].split("-"))
        if low <= address < high:
            return line.split()[-1].rpartition("/")[2]
    return ""
