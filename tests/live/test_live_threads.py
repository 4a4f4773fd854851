"""Where threads are now, compared with the program's own words and, return address by return address, with gdb."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.oracles import output
from tests.live.workload import Workload, start
from tracer.host.threads import ThreadsNow
from tracer.kernel import tasks
from tracer.kernel.source import standalone_text
from tracer.kernel.tasks import TaskReader
from tracer.model.frame import Stack
from tracer.model.thread import ThreadNow, ThreadState
from tracer.stacks.service import StackService

WAYS = ("read", "futex", "poll", "select", "epoll", "accept", "sleep")
SYSCALLS = {"epoll": "epoll_wait", "select": "(select|pselect6)", "sleep": "(clock_)?nanosleep", "poll": "p?poll"}
GDB_ADDRESSES = "set print frame-info location-and-address"
PRECISE_NS = 50_000_000


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state_of(pid: int, tid: int) -> str:
    return Path(f"/proc/{pid}/task/{tid}/stat").read_text().rpartition(")")[2].split()[0]


class Waiting:
    """The program, once all its threads wait, and what was seen of it."""

    def __init__(self, program: Workload) -> None:
        self.program, self.pid = program, program.pid()
        program.step()
        self.words = {word["in"]: word for word in program.said("waits")}
        until(lambda: all(state_of(self.pid, self.words[way]["tid"]) == "S" for way in WAYS))
        self.settled_ns = time.monotonic_ns()
        self.reader = TaskReader()
        self.threads = ThreadsNow(self.reader)
        self.looks = {way: self.threads.look(self.pid, word["tid"]) for way, word in self.words.items()}
        self.all = self.threads.look_all(self.pid)
        self.at_work = {way: self._who(self.threads.at_work_on, way) for way in self.words}
        self.waiting = {way: self._who(self.threads.waiting_on, way) for way in self.words}
        # Last: the calls that gdb interrupts are other calls afterwards, or end.
        self.gdb = output("gdb", "-p", str(self.pid), "-batch", "-iex", GDB_ADDRESSES, "-ex", "thread apply all bt")

    def _who(self, ask: Callable[[int, list[int]], tuple[ThreadNow, ...]], way: str) -> set[str]:
        """The threads that are told for the descriptor of the thread that waits in ``way``, by their ways."""
        names = {word["tid"]: name for name, word in self.words.items()}
        return {names[thread.actor.tid] for thread in ask(self.pid, [self.words[way]["fd"], 9999])}

    def look(self, way: str) -> ThreadNow:
        found = self.looks[way]
        assert found is not None
        return found


@pytest.fixture(scope="module")
def waiting() -> Iterator[Waiting]:
    with start("waits") as program:
        yield Waiting(program)


def unwound(look: ThreadNow) -> Stack:
    assert look.box is not None, look.note
    service = StackService()
    try:
        return service.unwind(look.box)
    finally:
        service.close()


def gdb_frames(text: str, tid: int) -> list[tuple[int, str]]:
    """Address and function of each frame of that thread, innermost first."""
    part = re.split(r"^Thread ", text, flags=re.MULTILINE)
    (mine,) = (one for one in part if f"(LWP {tid})" in one)
    return [(int(pc, 16), name) for pc, name in re.findall(r"^#\d+ +(0x[0-9a-f]+) in (\S+)", mine, re.MULTILINE)]


def test_it_is_read_by_bpf(waiting: Waiting) -> None:
    """On this kernel the registers come from the program on request: it gave no reason why not."""
    assert waiting.reader.reason is None


@pytest.mark.parametrize("way", WAYS)
def test_the_stack_is_gdbs(waiting: Waiting, way: str) -> None:
    """Every frame at the address where gdb finds it, to the thread's first, without frame pointers."""
    look = waiting.look(way)
    assert look.box is not None
    assert look.box.unknown == frozenset()
    stack = unwound(look)
    expected = gdb_frames(waiting.gdb, waiting.words[way]["tid"])
    assert stack.complete, stack.note
    # Inlined functions share an address.
    assert list(dict.fromkeys(frame.pc for frame in stack.frames)) == list(dict.fromkeys(pc for pc, _ in expected))
    assert {"inner", "middle", "outer"} <= {name for _, name in expected}


@pytest.mark.parametrize("way", WAYS)
def test_the_call_and_its_descriptors(waiting: Waiting, way: str) -> None:
    """The call that the program said it would make, for the descriptor that it named."""
    look, word = waiting.look(way), waiting.words[way]
    assert look.state is ThreadState.WAITS
    assert re.fullmatch(SYSCALLS.get(way, way), look.syscall or "")
    assert (look.actor.pid, look.actor.tid, look.actor.comm) == (waiting.pid, word["tid"], "waits")
    assert word["fd"] in (*look.fds, -1)
    writes = way in ("poll", "select")
    assert look.to_write == (frozenset((word["fd"],)) if writes else frozenset())
    if way in ("read", "accept"):
        assert look.to_read == frozenset((word["fd"],))
    if writes:
        assert look.to_read == frozenset((waiting.words["read"]["fd"],))


@pytest.mark.parametrize("way", WAYS)
def test_since_when(waiting: Waiting, way: str) -> None:
    """A thread waits since it said so. If it used the CPU after that, it waits since it stopped."""
    since = waiting.look(way).waiting_since_ns
    assert since is not None
    said = waiting.words[way]["monotonic_ns"]
    assert said - PRECISE_NS <= since <= waiting.settled_ns + PRECISE_NS
    if way != "futex":
        assert since <= said + PRECISE_NS * 4  # on a busy host it may be some time before it gets to its call


def test_a_thread_that_runs(waiting: Waiting) -> None:
    """A thread that runs is told as running, without a call and without a stack."""
    look = waiting.look("loop")
    assert (look.state, look.syscall, look.box) == (ThreadState.RUNS, None, None)
    assert look.note == "it runs"


def test_who_waits_for_a_descriptor(waiting: Waiting) -> None:
    """At work on it: in a call of its own. Waiting on it: in poll or select too; on an epoll descriptor, its waiter."""
    assert waiting.at_work["read"] == {"read"}
    assert waiting.at_work["accept"] == {"accept"}
    assert waiting.at_work["poll"] == set()
    assert waiting.waiting["read"] == {"read", "poll", "select"}
    assert waiting.waiting["poll"] == {"poll", "select"}
    assert waiting.waiting["epoll"] == {"epoll"}


def test_all_at_once(waiting: Waiting) -> None:
    """All threads of the process, the main thread in its read of the standard input among them."""
    found = {look.actor.tid: look for look in waiting.all}
    assert found.keys() == {word["tid"] for word in waiting.words.values()} | {waiting.pid}
    assert (found[waiting.pid].syscall, found[waiting.pid].fds) == ("read", (0,))


def test_a_stopped_thread() -> None:
    """A thread that a signal has stopped does not wait for anything."""
    with subprocess.Popen(["sleep", "300"]) as program:
        try:
            program.send_signal(signal.SIGSTOP)
            until(lambda: state_of(program.pid, program.pid) == "T")
            look = ThreadsNow(TaskReader()).look(program.pid, program.pid)
        finally:
            program.kill()
    assert look is not None
    assert look.state is ThreadState.STOPPED


def test_without_the_helper(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 5.15 there is no bpf_task_pt_regs: the place of the registers is computed, and found to be right."""
    monkeypatch.setattr(tasks, "_macros", lambda tree: {})
    reader = TaskReader()
    look = ThreadsNow(reader).look(waiting.pid, waiting.pid)
    assert reader.reason is None
    reader.close()
    assert look is not None
    assert look.box == next(one for one in waiting.all if one.actor.tid == waiting.pid).box


def test_a_place_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the registers are in another place (KASAN's stacks are larger), no wrong registers are returned."""
    monkeypatch.setattr(tasks, "_macros", lambda tree: {})
    text = standalone_text
    wrong = ("CT_THREAD_SIZE 16384", "CT_THREAD_SIZE 16368")
    monkeypatch.setattr(tasks, "standalone_text", lambda name, macros: text(name, macros).replace(*wrong))
    reader = TaskReader()
    look = ThreadsNow(reader).look(os.getpid(), os.getpid())
    assert reader.reason == "this kernel keeps the registers of its threads in another place"
    assert look is not None
    assert look.box is None or look.box.unknown


def test_a_kernel_without_the_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler says what is missing. Then only /proc is read."""
    text = standalone_text
    monkeypatch.setattr(
        tasks, "standalone_text", lambda name, macros: "#undef CT_HAVE_PROC_INODE_PID\n" + text(name, macros)
    )
    with subprocess.Popen(["sleep", "300"]) as program:
        try:
            until(lambda: state_of(program.pid, program.pid) == "S")
            reader = TaskReader()
            look = ThreadsNow(reader).look(program.pid, program.pid)
        finally:
            program.kill()
    assert "do not lead from a descriptor of /proc to a thread" in (reader.reason or "")
    assert look is not None
    assert look.box is not None
    assert look.box.unknown


def test_a_thread_that_has_ended() -> None:
    """A process that was waited for is not there to be looked at."""
    with subprocess.Popen(["true"]) as program:
        pass
    assert ThreadsNow(TaskReader()).look(program.pid, program.pid) is None
