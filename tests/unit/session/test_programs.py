"""Oracle: processes that this test starts, and what their cgroups are said to be."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tracer.host.podnames import PodNames
from tracer.model.identity import NOBODY, Identity
from tracer.session import programs as module
from tracer.session.programs import Programs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes whose cgroups were read. Each has a unit with its number in the name."""
    pids: list[int] = []

    def identity_of(pid: int) -> Identity:
        pids.append(pid)
        return Identity(f"a{pid}.service")

    monkeypatch.setattr(module, "identity_of", identity_of)
    return pids


def test_a_process_is_asked_once(asked: list[int]) -> None:
    """It is told as it was at first, also after its end."""
    known = Programs(PodNames())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        told = [known.identity(child.pid) for _ in range(3)]
        child.communicate()
    assert [*told, known.identity(child.pid)] == [Identity(f"a{child.pid}.service")] * 4
    assert asked == [child.pid]


def test_a_number_that_is_used_again(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has another start time."""
    known = Programs(PodNames())
    for started in (1, 1, 2):
        monkeypatch.setattr(module, "start_ticks_of", lambda _pid, now=started: now)
        known.identity(7)
    assert asked == [7, 7]


def test_never_seen_alive(asked: list[int]) -> None:
    """Nothing is known, and nothing is made up."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert Programs(PodNames()).identity(child.pid) == NOBODY
    assert asked == []


def test_bounded(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Months of short-lived processes take no more memory."""
    monkeypatch.setattr(module, "start_ticks_of", lambda pid: pid)
    known = Programs(PodNames())
    for pid in range(1, 3 * module._KEPT):
        known.identity(pid)
    assert len(known._identities) == module._KEPT
