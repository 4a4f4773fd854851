"""Where threads are, from /proc alone, against child programs that are blocked in calls that the test chose."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.host import threads
from tracer.host.threads import ThreadsNow, parse_syscall
from tracer.machine.registers import (
    PT_REGS_COUNT,
    PT_REGS_OF_DWARF,
    PT_REGS_SYSCALL,
    REGISTER_COUNT,
    RETURN_ADDRESS,
    RSP,
)
from tracer.model.thread import TaskSample, ThreadNow, ThreadState

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
        (thread,) = ThreadsNow().at_work_on(pid, [fd, 9999])
        assert (thread.actor.pid, thread.actor.tid, thread.fds, thread.syscall) == (pid, tid, (fd,), syscall)
        assert thread.actor.comm == Path(f"/proc/{pid}/comm").read_text().strip()
        assert thread.box is not None
        # Before glibc 2.34 the calls on sockets were in libpthread.
        assert mapping(pid, thread.box.pc).startswith(("libc", "libpthread"))
        assert mapping(pid, thread.box.sp) == "[stack]"
        assert thread.box.unknown == frozenset(range(REGISTER_COUNT)) - {RSP, RETURN_ADDRESS}
        assert ThreadsNow().at_work_on(pid, [9999]) == ()


def test_threads_that_no_time_is_left_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have as many threads as it likes."""
    monkeypatch.setattr(threads, "_AT_WORK_CPU_NS", -1)
    with blocked_child(
        "threading.Thread(target=other.recv, args=(1,)).start(); ready(a.fileno()); a.recv(10)"
    ) as child:
        now = ThreadsNow()
        assert now.at_work_on(child[0], [child[2]]) == ()
    assert now.left_out == 2


@pytest.mark.parametrize("syscall", WAITS)
def test_what_is_polled_is_not_read_for_calls_on_sockets(syscall: str) -> None:
    """It may be tens of thousands of descriptors for each of thousands of threads."""
    read = []

    def refuse(*place: int) -> bytes:
        read.append(place)
        return b""

    with blocked_child(WAITS[syscall]) as (pid, _, fd):
        assert ThreadsNow(read=refuse).at_work_on(pid, [fd]) == ()
    assert read == []


@pytest.mark.parametrize("syscall", WAITS)
def test_waiting_for_events_is_no_call_on_the_socket(syscall: str) -> None:
    """A thread in poll, select or epoll_wait is not at work on the socket; the first two wait for it to be readable."""
    with blocked_child(WAITS[syscall]) as (pid, tid, fd):
        now = ThreadsNow()
        assert now.at_work_on(pid, [fd]) == ()
        found = now.waiting_on(pid, [fd])
        if syscall == "epoll_wait":
            assert found == ()
        else:
            assert [(thread.actor.tid, thread.to_read, thread.to_write) for thread in found] == [
                (tid, frozenset([fd]), frozenset())
            ]


@pytest.mark.parametrize("syscall", [*WAITS, *CALLS])
def test_who_is_inside_poll_or_select(syscall: str) -> None:
    """And for which descriptors it wants to know that the peer has hung up."""
    with blocked_child({**WAITS, **CALLS}[syscall]) as (pid, tid, fd):
        found = tuple(ThreadsNow().in_poll(pid, [tid], [fd, 1000]))
        assert not tuple(ThreadsNow().in_poll(pid, [tid], [1000]))
    assert [(one.actor.tid, one.to_end) for one in found] == (
        [(tid, frozenset([fd]))] if syscall in ("poll", "select") else []
    )


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
        (thread,) = ThreadsNow().at_work_on(pid, [fd])
        assert (thread.actor.tid, thread.actor.comm) == (tid, "reader-7")
        assert tid != pid


def test_blocked_in_connect() -> None:
    """A connect that gets no answer is a call on the socket."""
    # A listener whose queue is full leaves further SYNs unanswered.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            body = f"s = socket.socket(); ready(s.fileno()); s.connect(('127.0.0.1', {port}))"
            with blocked_child(body) as (pid, tid, fd):
                (thread,) = ThreadsNow().at_work_on(pid, [fd])
                assert (thread.actor.tid, thread.syscall) == (tid, "connect")


def test_gone_or_idle() -> None:
    """A process that has ended, or one asked about no descriptor, has no blocked call."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert ThreadsNow().at_work_on(process.pid, [0, 1, 2]) == ()
    assert ThreadsNow().look(process.pid, process.pid) is None
    assert ThreadsNow().at_work_on(os.getpid(), []) == ()


def test_it_runs() -> None:
    """A thread that runs is said to, and its stack is not copied."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            look = ThreadsNow().look(child.pid, child.pid)
        finally:
            child.kill()
    assert look is not None
    assert (look.state, look.box, look.note) == (ThreadState.RUNS, None, "it runs")


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Whatever stands in the file, the parser gives a thread or None."""
    parsed = parse_syscall(text, "")
    assert parsed is None or parsed.state in ThreadState


def test_lines_of_the_kernel() -> None:
    """The forms of proc(5): a call, a running thread, one blocked outside any call, a kernel worker."""
    line = "45 0xdeadbeef00000003 0x7f 0x80 0x0 0x0 0x0 0x7ffdfbf77958 0x7fb7c246f2ad\n"
    call = parse_syscall(line, "x")
    assert call is not None
    assert (call.number, call.arguments[:3]) == (45, (0xDEADBEEF00000003, 0x7F, 0x80))
    assert (call.registers[RSP], call.registers[RETURN_ADDRESS]) == (0x7FFDFBF77958, 0x7FB7C246F2AD)
    running, outside = parse_syscall("running\n", "x"), parse_syscall("-1 0x7ffdfbf77958 0x7fb7c246f2ad\n", "x")
    assert running is not None
    assert outside is not None
    assert running.state is ThreadState.RUNS
    assert (outside.number, outside.registers[RSP]) == (-1, 0x7FFDFBF77958)
    worker = parse_syscall("-1 0x0 0x0\n", "iou-wrk-1")
    assert worker is not None
    assert worker.note == "it is a kernel worker"
    assert parse_syscall("-1 0x7ffdfbf77958\n", "x") is None


class Samples:
    """A source that gives these samples, one after the other."""

    def __init__(self, *samples: TaskSample) -> None:
        self._samples = list(samples)

    def read(self, directory: int) -> Optional[TaskSample]:
        assert directory >= 0
        return self._samples.pop(0)


def sample(switches: int, **other: Any) -> TaskSample:
    words = [0] * PT_REGS_COUNT
    words[PT_REGS_SYSCALL], words[PT_REGS_OF_DWARF[RSP]] = 202, STACK
    known = TaskSample("x", tuple(words), switches, True, False, False, False, True, 0, 0)
    return known._replace(**other)


HELD = ctypes.create_string_buffer(64)
STACK = ctypes.addressof(HELD)


def look_at(*samples: TaskSample) -> ThreadNow:
    look = ThreadsNow(Samples(*samples)).look(os.getpid(), os.getpid())
    assert look is not None
    return look


def test_a_thread_that_went_on_is_looked_at_again() -> None:
    """Registers and stack are kept only if the thread did not run between them."""
    HELD.value = b"stack"
    still = look_at(sample(7), sample(8), sample(8))
    assert still.box is not None
    assert still.box.stack.startswith(b"stack")
    assert still.syscall == "futex"
    busy = look_at(*(sample(switches) for switches in range(9)))
    assert (busy.box, busy.note) == (None, "it ran while its stack was copied")
    begun = look_at(sample(7), sample(7, steady=False), sample(8, runnable=True))
    assert (begun.state, begun.box) == (ThreadState.RUNS, None)


@pytest.mark.parametrize(
    ("other", "state", "note"),
    [
        ({"kernel": True}, ThreadState.WAITS, "it is a kernel worker"),
        ({"is_64_bit": False}, ThreadState.WAITS, "it runs 32-bit code"),
        ({"runnable": True}, ThreadState.RUNS, "it runs"),
    ],
)
def test_threads_without_a_stack(other: dict[str, bool], state: ThreadState, note: str) -> None:
    """Each says why."""
    look = look_at(sample(7, **other))
    assert (look.state, look.note, look.box, look.syscall, look.fds) == (state, note, None, None, ())


def mapping(pid: int, address: int) -> str:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        low, high = (int(word, 16) for word in line.split()[0].split("-"))
        if low <= address < high:
            return line.split()[-1].rpartition("/")[2]
    return ""
