"""Stacks that workers walk: the same as without, whatever becomes of the workers."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.builders import Section, library, with_sections
from tests.hostile.test_hostile_files import PROGRAM
from tests.unit.present import present
from tests.unit.stacks.links.test_native import HEAD, PLAIN, PLAIN_STACK
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, names, running, wait_blocked
from tracer import earliest
from tracer.model.frame import BlackBox, Frame, Stack
from tracer.stacks.jail import forms
from tracer.stacks.jail import keeper as module
from tracer.stacks.jail.child import Child, Lost
from tracer.stacks.jail.door import Door, Subjects
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.jail.wire import Broken, Line
from tracer.stacks.jail.worker import _Stacks
from tracer.stacks.rows import Rows
from tracer.stacks.service import StackService
from tracer.stacks.target.process import Process
from tracer.stacks.walker import LocalWalker

pytestmark = pytest.mark.root


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[BlackBox]:
    """A box of a program that waits."""
    with running(compile_c(tmp_path, "plain", PLAIN)) as child:
        yield capture(child.pid)


def cut(box: BlackBox, size: int) -> BlackBox:
    """A box that no memo knows."""
    return replace(box, stack=box.stack[:size])


def test_the_same_stack_as_without(keeper: Keeper, box: BlackBox) -> None:
    """Name by name, and recognised again without a worker."""
    service, plain = StackService(walker=keeper), StackService()
    stack = service.unwind(box)
    assert stack == plain.unwind(box)
    assert names(stack) == PLAIN_STACK + GLIBC_START
    (pid,) = keeper.pids()
    os.kill(pid, signal.SIGKILL)
    assert service.unwind(replace(box, tid=box.tid + 1)) is stack
    assert (keeper.unserved, keeper.harms, keeper.missing) == (0, [], {})
    service.close()
    plain.close()


def test_a_worker_that_has_nothing_to_do_keeps_no_memory(
    keeper: Keeper, box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But one that is used stays. The next stack has a new one."""
    monkeypatch.setattr(module, "_RESTING", 0)
    monkeypatch.setattr(module, "_REST_CPU_S", 0.0)
    service, stack = StackService(walker=keeper), StackService().unwind(box)
    for _ in range(2):
        assert service.unwind(box) == stack
        (pid,) = keeper.pids()
        service.forget(box.pid)
        keeper.replace_large()
        assert keeper.pids() == [pid]
    keeper.replace_large()
    assert keeper.pids() == []
    assert service.unwind(box) == stack
    assert keeper.pids() not in ([], [pid])
    service.close()


def test_signals_to_the_whole_service_do_not_end_it(keeper: Keeper, box: BlackBox) -> None:
    """SIGUSR1 asks for a report, which needs the worker; so do the signals that end a trace."""
    service = StackService(walker=keeper)
    service.unwind(box)
    (pid,) = keeper.pids()
    for number in earliest.SIGNALS:
        os.kill(pid, number)
    assert names(service.unwind(cut(box, 64)))[:1] == PLAIN_STACK[:1]
    assert (keeper.pids(), keeper.unserved, keeper.harms) == ([pid], 0, [])
    service.close()


WAYS = (
    HEAD
    + """
static int left(unsigned way, int level), right(unsigned way, int level);
static inline int step(unsigned way, int level)
{ return level == 8 ? block() : way & (1u << level) ? right(way, level + 1) : left(way, level + 1); }
CALLED int left(unsigned way, int level) { return step(way, level) + 1; }
CALLED int right(unsigned way, int level)
{ volatile char room[64]; room[level] = 1; return step(way, level) + room[level]; }
int main(void) { for (unsigned way = 0;; way++) if (step(way * 37, 0) < 0) return 1; }
"""
)


def test_a_new_way_through_known_places_needs_no_worker(keeper: Keeper, tmp_path: Path) -> None:
    """256 ways through two functions: after the first of them the worker is not asked any more."""
    service, plain = StackService(walker=keeper), LocalWalker()
    with running(compile_c(tmp_path, "ways", WAYS)) as child:
        boxes = []
        for _ in range(24):
            boxes.append(capture(child.pid))
            child.tell(b"x")
            child.line()
            wait_blocked(child.pid)
        process = Process.open(child.pid)
        expected = [plain.walk(process, box).stack for box in boxes]
        met = [service.unwind(box) for box in boxes[:12]]
        keeper.use_hurry(lambda: True)  # so a worker that is asked has no time
        (pid,) = keeper.pids()
        os.kill(pid, signal.SIGSTOP)
        met += [service.unwind(box) for box in boxes[12:]]
        process.close()
    assert met == expected
    assert len(set(met)) == 24
    assert all(stack.complete for stack in met)
    assert keeper.unserved == 0
    service.close()


def test_the_same_end_as_without(keeper: Keeper, box: BlackBox) -> None:
    """A stack that is cut ends with the same note; told again it comes by its number."""
    service, plain = StackService(walker=keeper), StackService()
    for _ in range(2):
        assert service.unwind(cut(box, 16)) == plain.unwind(cut(box, 16))
    service.close()
    plain.close()


def test_workers_killed_at_random(keeper: Keeper, box: BlackBox) -> None:
    """Every stack comes, and the same: a worker that was killed from outside is replaced."""
    expected = LocalWalker().walk(Process.open(box.pid), box).stack
    process, chance = Process.open(box.pid), random.Random(11)
    walked, lives = threading.Event(), 12

    def kill() -> None:
        for _ in range(lives):  # each of them walks at least once: how fast that is depends on the machine
            walked.wait()
            time.sleep(chance.uniform(0, 0.05))
            for pid in keeper.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            walked.clear()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    while killer.is_alive():
        assert keeper.walk(process, box).stack == expected
        walked.set()
    process.close()
    assert (keeper.unserved, keeper.harms) == (0, [])


def test_a_worker_that_dies_slowly_was_killed_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection has ended, and a busy machine takes its time with the rest: what it read is not to blame."""
    child = Child(Subjects(), False)
    child.ready(lambda: float("inf"))
    wait = child._process.wait

    def late(timeout: float) -> int:
        if timeout < 1.0:
            raise subprocess.TimeoutExpired("worker", timeout)
        return wait(timeout)

    monkeypatch.setattr(child._process, "wait", late)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.lost("it has ended").outside
    child.close()


def test_workers_that_are_killed_always(keeper: Keeper, box: BlackBox) -> None:
    """After fifty in a row it is given up, once for all, and told."""
    process, over = Process.open(box.pid), threading.Event()

    def kill() -> None:
        while not over.wait(0.002):
            for pid in keeper.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    for _ in range(2):
        assert names(keeper.walk(process, box).stack) == [None]
    over.set()
    killer.join()
    process.close()
    assert keeper.unserved == 2
    (harm,) = keeper.harms
    assert harm.why == "50 workers were killed one after the other"


def test_an_hour_later_it_is_tried_again(keeper: Keeper, box: BlackBox) -> None:
    """In a run of months: a machine that was short of memory one day has stacks the next one."""
    process = Process.open(box.pid)
    keeper._lost[process.owner] = module._MOST_LOST
    keeper._give_up(process, "12 workers were lost")
    keeper.forgive()
    assert names(keeper.walk(process, box).stack) == [None]
    assert [harm.part for harm in keeper.harms] == ["all"]
    keeper._next_pardon = 0.0
    keeper.forgive()
    assert "main" in names(keeper.walk(process, box).stack)
    assert keeper.harms == []
    assert keeper._lost == {process.owner: module._MOST_LOST - 1}
    process.close()


def test_a_minute_later_processes_can_be_started_again(monkeypatch: pytest.MonkeyPatch, box: BlackBox) -> None:
    """fork(2) fails where memory or numbers of processes run short. That ends, and a run of months goes on."""

    def fails(*_words: object, **_more: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    process = Process.open(box.pid)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", fails)
        keeper = Keeper()
        assert names(keeper.walk(process, box).stack) == [None]
    assert "no process can be started" in keeper.refused
    keeper.forgive()
    assert "main" in names(keeper.walk(process, box).stack)
    assert (keeper.refused, keeper.unserved) == ("", 1)
    keeper.close()
    process.close()


def test_a_worker_that_waits_for_memory_is_not_waited_for(keeper: Keeper, box: BlackBox) -> None:
    """A stopped worker stands for one that reads memory which never comes: the report that is asked for comes."""
    service = StackService(walker=keeper)
    service.unwind(box)
    (pid,) = keeper.pids()
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    keeper.use_hurry(lambda: time.monotonic() > begun + 0.2)
    stack = service.unwind(cut(box, 16))
    assert names(stack) == [None]
    assert time.monotonic() - begun < 1.0
    assert keeper.unserved == 1
    service.close()


def test_a_download_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the request and never answers: the report that is asked for comes."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    keeper = Keeper(debuginfod=True)
    service, program = StackService(walker=keeper), compile_c(tmp_path, "plain", PLAIN, "-Wl,--build-id", "-s")
    with running(program) as child:
        asked, accepted = threading.Event(), []

        def accept() -> None:
            accepted.append(server.accept())
            asked.set()

        threading.Thread(target=accept, daemon=True).start()
        keeper.use_hurry(asked.is_set)
        begun = time.monotonic()
        assert names(service.unwind(capture(child.pid))) == [None]
        assert asked.is_set()
        assert time.monotonic() - begun < 20
    service.close()
    server.close()


def test_many_large_files_of_one_user(keeper: Keeper, tmp_path: Path) -> None:
    """Files that fit one by one, but not together, are all read: the worker is replaced, and none is to blame."""
    service = StackService(walker=keeper)
    for number in range(4):
        place = tmp_path / str(number)
        place.mkdir()
        path = place / "large.so"
        header = struct.pack("<IHBB8Q", 0xFFFFFFF1, 0, 1, 8, 1, 0, 0, 0, 0, 0, 0, 0)
        with_sections(library(place), path, [Section(".gopclntab", header, size=150 << 20, align=8)])
        with running(compile_c(place, "program", PROGRAM, "-ldl"), path) as child:
            assert "leak" in names(service.unwind(capture(child.pid)))
    assert (keeper.unserved, keeper.harms) == (0, [])
    service.close()


def test_too_much_debug_information_is_told(keeper: Keeper, tmp_path: Path) -> None:
    """Functions have their names, lines are not known, and the report says why."""
    service, large = StackService(walker=keeper), tmp_path / "large"
    with_sections(compile_c(tmp_path, "plain", PLAIN, "-g"), large, [Section(".debug_types", size=500 << 20)])
    large.chmod(0o755)
    with running(large) as child:
        stack = service.unwind(capture(child.pid))
    assert names(stack) == PLAIN_STACK + GLIBC_START
    assert {frame.line for frame in stack.frames if frame.function == "main"} == {None}
    (harm,) = keeper.harms
    assert (harm.what, harm.part) == (str(large), "the debug information")
    assert harm.why == "it took more memory than it may"
    service.close()


def test_nothing_is_left(box: BlackBox) -> None:
    """After the end there is no process and no descriptor of it."""
    before = len(os.listdir("/proc/self/fd"))
    keeper = Keeper()
    service = StackService(walker=keeper)
    service.unwind(box)
    pids = keeper.pids()
    service.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert len(os.listdir("/proc/self/fd")) == before


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@given(ANY, ANY)
def test_whatever_a_worker_says(stack: object, rests: object) -> None:
    """It is a stack, or it is not believed."""
    box = BlackBox(1, 1, tuple(range(17)), bytes(64), False)
    with contextlib.suppress(forms.Implausible):
        assert isinstance(forms.stack_from_json({"frames": stack, "complete": True, "note": None}, {}), Stack)
    with contextlib.suppress(forms.Implausible):
        forms.rests_from_json({"steps": rests, "generated": False, "since": 0, "until": 1}, box)
    with contextlib.suppress(forms.Implausible):
        Rows().learn(forms.rows_from_json(rests, Stack((), True)), Stack((), True), 0, 1)


@pytest.mark.parametrize(
    "asked",
    [
        {"ask": "root", "path": "/proc/kmsg"},
        {"ask": "root", "path": "/dev/zero"},
        {"ask": "public", "path": "/etc/passwd"},
        {"ask": "public", "path": "/usr/lib/debug/../../../etc/passwd"},
        {"ask": "mapped", "start": 0, "dev": 0, "inode": 0},
        {"ask": "vdso", "start": 0},
    ],
)
def test_what_the_door_does_not_give(asked: dict[str, Any]) -> None:
    """An answer without a descriptor."""
    ours, theirs = socket.socketpair()
    process = Process.open(os.getpid())
    Door(Line(ours), Subjects(), debuginfod=False).serve(asked, process)
    answer = Line(theirs).receive_trusted()
    assert answer.descriptors == ()
    process.close()
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "asked",
    [{"ask": "shell"}, {"ask": ["root"]}, {"ask": "root"}, {"ask": "root", "path": 7}, {"ask": "download"}],
)
def test_what_is_no_request(asked: dict[str, Any]) -> None:
    """A worker that asks so is given up."""
    ours, theirs = socket.socketpair()
    process = Process.open(os.getpid())
    with pytest.raises(Broken):
        Door(Line(ours), Subjects(), debuginfod=False).serve(asked, process)
    process.close()
    ours.close()
    theirs.close()


@pytest.mark.parametrize("said", [b"", b"\xff" * 8, b"\2\0\0\0\0\0\0\0[]", b"\2\0\0\0\0\0\0\0{{", b"\1\0\0\0\1\0\0\0"])
def test_what_is_no_message(said: bytes) -> None:
    """Too long, no JSON, no object, cut short."""
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.close()
    with pytest.raises(Broken):
        Line(ours).receive(lambda: None)
    ours.close()


def test_files_and_processes_are_forgotten_in_the_end() -> None:
    """Those not met for the longest time, but none that did harm; a number is never another's."""
    subjects = Subjects(most=3)
    first, harmful = subjects.number("first", "a"), subjects.number("harmful", "b")
    present(subjects.get(harmful)).barred.add(1)
    assert subjects.number("first", "a") == first
    numbers = {subjects.number(key, "") for key in range(10)}
    assert numbers.isdisjoint({first, harmful})
    assert len(numbers) == 10
    assert subjects.get(first) is None
    assert subjects.number("harmful", "b") == harmful
    assert sum(subjects.get(number) is not None for number in numbers) == 2


def test_what_was_told_is_bounded() -> None:
    """A worker begins anew before that; one that does not is given up."""
    long = Stack((Frame("f" * 4000, "m" * 4000, 1),) * 1024, True)
    talker, box = Talker(), BlackBox(1, 1, tuple(range(17)), bytes(64), False)
    most = 2 * forms.MOST_TOLD // forms.weight(long)
    said = [{"number": number, "stack": forms.stack_to_json(long)} for number in range(1, most + 2)]
    for one in said[:-1]:
        talker._walked(one, box)
    with pytest.raises(forms.Implausible):
        talker._walked(said[-1], box)
    stacks = _Stacks()
    numbers = [stacks.told(replace(long, note=str(turn)))["number"] for turn in range(most)]
    assert numbers.count(1) == -(-most // (most // 2))
    assert max(numbers) == most // 2


def test_equal_frames_are_one_object() -> None:
    """On both sides: thousands of stacks have few frames among them. What began anew keeps none of those before."""
    talker, box = Talker(), BlackBox(1, 1, tuple(range(17)), bytes(64), False)

    def stack(inner: str) -> Stack:
        return Stack((Frame(inner, "m" * 10), Frame("outer", "m" * 10, 1, "file", 7, pc=1 << 40)), True)

    stacks, known = _Stacks(), talker._walked({"number": 1, "stack": forms.stack_to_json(stack("one"))}, box).stack
    other = talker._walked({"number": 2, "stack": forms.stack_to_json(stack("other"))}, box).stack
    assert (known, other) == (stack("one"), stack("other"))
    assert other.frames[1] is known.frames[1]
    again = talker._walked({"number": 1, "stack": forms.stack_to_json(stack("one"))}, box).stack
    assert again == known
    assert again.frames[1] is not known.frames[1]
    assert [stacks.told(stack(inner))["number"] for inner in ("one", "other", "one")] == [1, 2, 1]
    one, two = stacks._numbers
    assert (one, two) == (known, other)
    assert one.frames[1] is two.frames[1]


class Talker(Child):
    """A worker in the hands of an attacker, as the root process sees it: it asks, and asks, and does nothing else."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self._line, self.slowness = Line(ours), 1.0
        self._door = Door(self._line, Subjects(), debuginfod=False)
        self._stacks, self._frames, self._told = {}, {}, 0

    def cpu_s(self) -> float:
        """It needs no CPU time that would be worth counting."""
        return time.monotonic() / 1e6

    def lost(self, why: str, *, hurried: bool = False, waited: bool = False) -> Lost:
        """Nothing has to be ended."""
        return Lost(why, 0, 0, hurried=hurried, waited=waited)


def test_a_worker_that_asks_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a request has an end, whatever is asked for meanwhile."""
    monkeypatch.setattr("tracer.stacks.jail.child._LONGEST_S", 0.5)
    process, talker = Process.open(os.getpid()), Talker()
    line = Line(talker.theirs)

    def talk() -> None:
        with contextlib.suppress(Broken, OSError):
            while True:
                line.send({"ask": "text", "name": "status"})
                line.receive_trusted()

    threading.Thread(target=talk, daemon=True).start()
    with pytest.raises(Lost, match="it took more than"):
        talker._answer(process, lambda: float("inf"))
    talker._line.close()
    line.close()
    process.close()
