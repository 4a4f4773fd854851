"""The current stacks of Java threads, read without stopping them, compared with the JVM's own thread dump."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.systems.jvm import JavaFrame, compile_workload, find_jdk, running
from tracer.host.threads import ThreadsNow
from tracer.kernel.tasks import TaskReader
from tracer.model.frame import Stack
from tracer.model.thread import ThreadNow, ThreadState
from tracer.stacks.service import StackService

MAJORS = [int(major) for major in os.environ.get("CLOSETRACE_JDKS", "17 25").split()]
WAYS = "hold monitor wait park latch read timed-read write channel-write select accept main".split()


@dataclass(frozen=True)
class Seen:
    """One thread: what we saw, its unwound stack, and its frames in the thread dump."""

    look: ThreadNow
    stack: Stack
    dump: list[JavaFrame]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("classes")
    compile_workload(target)
    return target


@pytest.fixture(scope="module", params=MAJORS)
def threads(request: pytest.FixtureRequest, classes: Path) -> Iterator[dict[str, Seen]]:
    reader, service = TaskReader(), StackService()
    with running(find_jdk(request.param), classes, [], [], "Waits") as jvm:
        jvm.until("STARTED")
        jvm.settle()
        tids = {name: tid for name, (tid, _) in jvm.thread_dump().items()}
        jvm.settle()
        now = ThreadsNow(reader)
        looks = {name: now.look(jvm.pid, tids[name]) for name in WAYS}
        stacks = {name: service.unwind(look.box) for name, look in looks.items() if look and look.box}
        dump = jvm.thread_dump()
        assert reader.reason is None
        yield {name: Seen(look, stacks[name], dump[name][1]) for name, look in looks.items() if look}
    service.close()
    reader.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_frames_are_those_of_the_thread_dump(threads: dict[str, Seen], way: str) -> None:
    """Names, files and lines are equal, up to the thread's first frame."""
    seen = threads[way]
    assert seen.stack.complete, seen.stack.note
    ours = [
        JavaFrame(frame.function or "?", frame.file if frame.line else None, frame.line)
        for frame in seen.stack.frames
        if frame.language == "java"
    ]
    assert ours == seen.dump
    if way != "main":
        assert "Waits.inner" in [frame.function for frame in ours]


@pytest.mark.parametrize("way", WAYS)
def test_the_thread_waits(threads: dict[str, Seen], way: str) -> None:
    """Each thread is in the system call that Java makes for it."""
    look = threads[way].look
    assert look.state is ThreadState.WAITS
    # Before JDK 13 (JEP 353) a socket's stream sends by send(2).
    old = any("java.net.SocketOutputStream" in (frame.function or "") for frame in threads[way].dump)
    waits = {"write": "sendto" if old else "write", "channel-write": "write", "select": "epoll_wait", "main": "read"}
    assert look.syscall == waits.get(way, look.syscall)
    if way in ("hold", "monitor", "wait", "park", "latch"):
        assert look.syscall == "futex"
    if "write" in way:
        assert look.to_write == frozenset(look.fds) != frozenset()
    if way in ("read", "timed-read", "accept"):
        assert look.to_read == frozenset(look.fds) != frozenset()
