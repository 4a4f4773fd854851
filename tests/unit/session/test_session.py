"""What a session asks of the kernel side: interpreters' frames only where there can be any."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from tracer.errors import HostUnsupported
from tracer.kernel.source import Sizes, Wanted
from tracer.model.scope import Scope
from tracer.session import session as module
from tracer.session.attached import Attached
from tracer.session.clock import Clock
from tracer.session.request import Request
from tracer.session.session import Session, _wanted
from tracer.stacks.registry import may_interpret
from tracer.stacks.target.process import Process

TRACE = Wanted(10**9)


@pytest.fixture
def sleeper() -> Iterator[Process]:
    """A process without any file of an interpreter."""
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        process = Process.open(child.pid)
        yield process
        process.close()
        child.kill()


@pytest.fixture
def this() -> Iterator[Process]:
    process = Process.open(os.getpid())
    yield process
    process.close()


def asked(wanted: Wanted, scope: Scope, *processes: Process) -> bool:
    return _wanted(Request(scope, "it", Sizes(1 << 24), wanted), processes).interpreters


def test_one_process(sleeper: Process, this: Process) -> None:
    """It has an interpreter, or has none and will not get one; its children may."""
    assert not asked(TRACE, Scope(pids=(sleeper.pid,)), sleeper)
    assert asked(TRACE, Scope(pids=(this.pid,)), this)
    assert asked(TRACE, Scope(pids=(sleeper.pid, this.pid)), sleeper, this)
    assert asked(TRACE, Scope(pids=(sleeper.pid,), follow_forks=True), sleeper)


def test_a_kernel_that_does_not_take_it_costs_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent goes on with what it recorded before, and tries again and again."""

    def refuses(*_asked: object) -> None:
        raise HostUnsupported("the kernel has no memory")

    monkeypatch.setattr(module, "open_recorder", refuses)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(HostUnsupported):
        Session(Request(Scope(pids=(os.getpid(),)), "it", Sizes(1 << 24), TRACE))
    assert len(os.listdir("/proc/self/fd")) == before


def test_processes_that_are_not_known_before() -> None:
    """The whole host, and whatever will have a name or a port."""
    for scope in (Scope(), Scope(comm="x"), Scope(local_ports=(80,))):
        assert asked(TRACE, scope)


def test_transitions_have_no_frames() -> None:
    """And what else was asked stays."""
    assert not asked(Wanted(10**9, events=True), Scope())
    wanted = _wanted(Request(Scope(), "it", Sizes(1 << 24), replace(TRACE, guarded=True)), ())
    assert wanted == Wanted(10**9, guarded=True, interpreters=True)


def test_which_interpreter_it_may_be(sleeper: Process, this: Process) -> None:
    """By the names of mapped files, without looking into them."""
    assert may_interpret(sleeper) == frozenset()
    assert may_interpret(this) == {"python"}


def test_an_agent_knows_from_when_it_is_attached() -> None:
    """To compile takes seconds, in which nothing is recorded. A run that ends began when it was asked to."""
    for endless in (True, False):
        session: Any = Session.__new__(Session)
        request = Request(Scope(), "it", Sizes(1 << 24), TRACE, endless=endless)
        parts = [Mock() for _ in range(5)]
        one, two, three, four, five = parts
        session._run = Attached(request, one, two, three, four, five, Clock(1.0, 0), wanted=TRACE)
        parts[0].start.side_effect = lambda _plan: time.sleep(0.01)
        begun = time.time()
        session._attach()
        assert (session.started > begun) == endless
        assert parts[3].take.called
