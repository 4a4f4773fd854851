"""What is said of a process that cannot be traced, and of a name that nothing has."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracer.commands import targets
from tracer.commands.targets import check_pid, warn_of_absent
from tracer.errors import UsageError
from tracer.host.netns import NetnsDenied
from tracer.host.processes import is_kernel_thread, is_zombie, named, netns_of, pids
from tracer.model.scope import Scope

ABSENT = 2**22 + 1
"""Above the greatest pid (PID_MAX_LIMIT)."""


def said(pid: int) -> str:
    """What is said of ``pid``: one line."""
    with pytest.raises(UsageError) as caught:
        check_pid(pid)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_process_that_runs_is_taken() -> None:
    """This one does."""
    assert check_pid(os.getpid()) == os.getpid()


@pytest.mark.parametrize("pid", [ABSENT, 2**40])
def test_no_process_is_said_to_be_none(pid: int) -> None:
    """Also where a number is too great for the kernel."""
    assert said(pid) == f"there is no process {pid}"


def test_a_hidden_process_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidepid /proc has no entry, but kill(2) says EPERM, not ESRCH."""

    def kill(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", kill)
    assert "hides it (hidepid): run closetrace with sudo" in said(ABSENT)


def test_a_zombie_is_called_one() -> None:
    """It has no sockets any more; its parent is named, since that is where to look."""
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert is_zombie(ended.pid)
        text = said(ended.pid)
    assert f"true (pid {ended.pid}) is a zombie" in text
    assert f"its parent, {named(os.getpid())}, has not waited for it" in text


def test_a_process_whose_first_thread_ended_is_no_zombie() -> None:
    """Its other threads have the descriptors, though its state is Z (proc(5))."""
    script = (
        "import ctypes, sys, threading\n"
        "threading.Thread(target=sys.stdin.buffer.raw.read).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit(2) on x86-64: of this thread alone
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        stat, waited = Path(f"/proc/{process.pid}/stat"), threading.Event()
        while ") Z " not in stat.read_text():
            waited.wait(0.01)
        assert not is_zombie(process.pid)
        assert check_pid(process.pid) == process.pid
        process.kill()


def test_threads_of_the_kernel_are_those_of_kthreadd() -> None:
    """As ps sees it: process 2 and its children; in a container there are none."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (row.split() for row in rows.splitlines())}
    threads = {pid for pid in pids() if is_kernel_thread(pid)}
    assert threads & set(parents) <= {pid for pid, parent in parents.items() if 2 in (pid, parent)}
    assert os.getpid() not in threads
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text() == "kthreadd\n":
        assert 2 in threads


def test_a_thread_of_the_kernel_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no descriptors."""
    monkeypatch.setattr(targets, "is_kernel_thread", lambda _: True)
    assert "is a thread of the kernel: it has no descriptors" in said(os.getpid())


def test_a_process_of_others_is_said_to_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The census names the process and what to do."""

    def stat(*_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NetnsDenied, match=r"\(pid \d+\) cannot be read without root .*run closetrace with sudo"):
        netns_of(os.getpid())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(NetnsDenied, match=r"\(pid \d+\) cannot be read, since this root lacks CAP_SYS_PTRACE"):
        netns_of(os.getpid())


def test_a_name_that_nothing_has_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, in one line, with a way to see the names; nothing is raised, since it may come."""
    warn_of_absent(Scope(comm="no-such-program"))
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("warning: no program or thread named no-such-program runs now.")
    warn_of_absent(Scope(comm="sleep", pids=(os.getpid(),)))
    assert "named sleep runs in these processes now" in capsys.readouterr().err


def test_names_of_programs_and_threads_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A program, and a thread that has a name of its own: no word of either. Nor without --comm."""
    begun, release = threading.Event(), threading.Event()

    def wait() -> None:
        ctypes.CDLL(None).prctl(15, b"closetr-thread", 0, 0, 0)  # PR_SET_NAME
        begun.set()
        release.wait(30)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait(30)
    with subprocess.Popen(["sleep", "60"]) as sleeper, pytest.MonkeyPatch.context() as patch:
        warn_of_absent(Scope(comm="sleep"))
        warn_of_absent(Scope(comm="sleep", pids=(sleeper.pid,)))
        warn_of_absent(Scope())
        patch.setattr(os, "getpid", lambda: 0)  # this process itself would not count
        warn_of_absent(Scope(comm="closetr-thread"))
        sleeper.kill()
    release.set()
    thread.join()
    assert capsys.readouterr() == ("", "")
