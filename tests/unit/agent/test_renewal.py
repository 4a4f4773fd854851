"""A unit or container that restarts has another cgroup, or, on cgroups of version 1, other processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tracer.agent import renewal
from tracer.agent.renewal import Renewal
from tracer.host import cgroups
from tracer.host.groups import Found
from tracer.model.scope import Scope

UNIT = Scope(cgroup=(41, 2), cgroup_path="/system.slice/shop.service")


def everybody() -> frozenset[int]:
    return frozenset()


class Host:
    """The cgroups of version 2 by path, and what is found by name."""

    def __init__(self) -> None:
        self.cgroups: dict[str, int] = {UNIT.cgroup_path: 41}
        self.named = Found()
        self.looks = 0

    def find(self, path: str) -> tuple[tuple[int, int], str]:
        if path not in self.cgroups:
            raise cgroups.NoCgroup("no such cgroup")
        return (self.cgroups[path], 2), path

    def by_name(self) -> Found:
        self.looks += 1
        return self.named


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(cgroups, "find", made.find)
    monkeypatch.setattr(renewal, "LOOK_S", 0.0)
    return made


def test_another_cgroup_at_the_same_path(host: Host) -> None:
    """While there is none, or it is the same, nothing is new."""
    watched = Renewal(UNIT)
    assert watched.look(everybody) is None
    host.cgroups.clear()
    assert watched.look(everybody) is None
    host.cgroups[UNIT.cgroup_path] = 77
    assert watched.look(everybody) == replace(UNIT, cgroup=(77, 2))


def test_another_path_under_the_same_name(host: Host) -> None:
    """A container of Kubernetes has another id after a restart. Of two with its name none is taken."""
    watched = Renewal(UNIT, host.by_name)
    host.cgroups = {"/new": 78, "/other": 79}
    assert watched.look(everybody) is None
    host.named = Found(("/new", "/other"))
    assert watched.look(everybody) is None
    host.named = Found(("/new",))
    assert watched.look(everybody) == replace(UNIT, cgroup=(78, 2), cgroup_path="/new")
    host.named = Found(("/gone",))
    assert watched.look(everybody) is None


Processes = list["subprocess.Popen[bytes]"]


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Three, the oldest first: a service's main process and two workers."""
    with ExitStack() as kept:
        yield [_start(kept) for _ in range(3)]


def _start(kept: ExitStack) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", "print('runs', flush=True); input()"]
    process = kept.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    kept.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_other_processes_of_a_unit_on_version_1(host: Host, processes: Processes) -> None:
    """All of the host are looked at only when the unit's main process has ended."""
    main, worker, again = processes
    scope = Scope(pids=(worker.pid, main.pid), follow_forks=True)
    watched = Renewal(scope, host.by_name)
    assert watched.look(everybody) is None
    end(worker)
    assert watched.look(everybody) is None
    assert host.looks == 0
    end(main)
    assert watched.look(everybody) is None
    assert host.looks == 1
    host.named = Found(pids=(again.pid,))
    assert watched.look(everybody) == replace(scope, pids=(again.pid,))


def test_a_unit_whose_main_process_gave_way_to_its_child(host: Host, processes: Processes) -> None:
    """The child is recorded already: nothing is new, and the child is the one whose end counts from now on."""
    main, child, again = processes
    watched = Renewal(Scope(pids=(main.pid,), follow_forks=True), host.by_name)
    host.named = Found(pids=(child.pid,))
    end(main)
    for _ in range(3):
        assert watched.look(lambda: {child.pid}) is None
    assert host.looks == 1
    host.named = Found(pids=(again.pid,))
    end(child)
    renewed = watched.look(lambda: {child.pid})
    assert renewed is not None
    assert renewed.pids == (again.pid,)


def test_processes_that_a_person_named_are_not_looked_for(host: Host, processes: Processes) -> None:
    """Their numbers are all that was said."""
    watched = Renewal(Scope(pids=(processes[0].pid,)))
    end(processes[0])
    assert watched.look(everybody) is None


def test_it_looks_once_in_ten_seconds(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at each look of the session."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(renewal, "LOOK_S", 10.0)
    watched = Renewal(UNIT, host.by_name)
    host.cgroups.clear()
    for _ in range(45):
        watched.look(everybody)
        now[0] += 1.0
    assert host.looks == 4
