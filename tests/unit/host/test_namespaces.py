"""Paths into network namespaces, held against the kernel's own links."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tracer.host.namespaces import Namespaces
from tracer.model.scope import Scope

OWN = os.stat("/proc/self/ns/net").st_ino


@pytest.fixture
def elsewhere() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a network namespace of its own."""
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as process:
        for _ in range(200):
            if os.stat(f"/proc/{process.pid}/ns/net").st_ino != OWN:
                break
            time.sleep(0.01)
        yield process
        process.kill()


def inode(process: subprocess.Popen[bytes]) -> int:
    return os.stat(f"/proc/{process.pid}/ns/net").st_ino


def test_the_own_namespace_needs_no_path() -> None:
    """There is nothing to enter."""
    assert Namespaces().path(OWN) is None
    assert Namespaces().all([os.getpid()]) == (OWN,)


@pytest.mark.root
def test_a_foreign_namespace_is_found_through_a_process(elsewhere: subprocess.Popen[bytes]) -> None:
    """Both when its process is named and when it has to be looked for."""
    number = inode(elsewhere)
    for spaces in (Namespaces(), Namespaces()):
        path = spaces.path(number)
        assert path is not None
        assert os.stat(path).st_ino == number
    assert Namespaces().all([elsewhere.pid, elsewhere.pid, os.getpid()]) == (number, OWN)
    assert {number, OWN} <= set(Namespaces().all())


@pytest.mark.root
def test_a_namespace_whose_process_ended_is_looked_for_again(elsewhere: subprocess.Popen[bytes]) -> None:
    """Through another process in it, as long as there is one."""
    number = inode(elsewhere)
    spaces = Namespaces()
    spaces.note(f"/proc/{elsewhere.pid}/ns/net")
    other = subprocess.Popen(["nsenter", f"--net=/proc/{elsewhere.pid}/ns/net", "sleep", "60"])
    try:
        for _ in range(200):
            if inode(other) == number:
                break
            time.sleep(0.01)
        elsewhere.kill()
        elsewhere.wait()
        assert spaces.path(number) == f"/proc/{other.pid}/ns/net"
    finally:
        other.kill()
        other.wait()
    assert spaces.path(number) is None


def test_processes_that_are_gone_have_no_namespace() -> None:
    """They are passed over."""
    assert Namespaces().all([2**22 + 1]) == ()
    assert Namespaces().note("/proc/4194305/ns/net") is None


@pytest.mark.parametrize(("netns", "matters"), [((), True), ((OWN,), False), ((OWN, 1), True)])
def test_who_may_not_be_asked_matters_only_where_a_namespace_is_missing(
    monkeypatch: pytest.MonkeyPatch, netns: tuple[int, ...], matters: bool
) -> None:
    """The namespace of process 1 cannot be told. With --netns that is nothing to warn of, if that one was found."""
    stat = os.stat

    def denying(path: str) -> os.stat_result:
        if path == "/proc/1/ns/net":
            raise PermissionError
        return stat(path)

    monkeypatch.setattr("tracer.host.namespaces.os.stat", denying)
    namespaces = Namespaces()
    found = namespaces.of_scope(Scope(netns=netns), None)
    assert found == (OWN,) if netns else OWN in found
    assert bool(namespaces.denied) is matters
