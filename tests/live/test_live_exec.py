"""Sockets that came through exec: the report says that the program was replaced, and which flag was missing.

/proc and ss tell who has the socket and with which flags.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import LINGER, Trace, let_linger
from tests.live.oracles import comm_of, functions, seconds, ss_close_wait
from tests.live.test_live_agent import Agent
from tests.live.workload import Workload, build

OTHER = "replacement"
CLOSE_S = 0.05


def program(how: str) -> Workload:
    """The workload that leaks in that way. ``again`` becomes the same program anew."""
    first = build("kept_over_exec")
    other = first if how == "again" else build("kept_over_exec", output=OTHER)
    return Workload(str(first), "exec" if how == "again" else how, str(other))


class Told:
    """What is said of a program that was traced over its exec, and what /proc and ss said at the same time."""

    def __init__(self, how: str) -> None:
        with program(how) as running:
            self.pid = running.pid()
            with Trace("--pid", str(self.pid), "--children", *LINGER, "--json") as trace:
                trace.attached()
                running.step().step()
                let_linger()  # so a finding is made before the exec
                self.before = time.time()
                running.step()
                self.after = time.time()
                self.comms = {pid: comm_after_exec(pid) for pid in running.pids()}
                self.ss = ss_close_wait(running.pids())
                self.flags = {(pid, fd): flags(pid, fd) for one in self.ss.values() for pid, fd in one.holders}
                self.child = running.pid("child") if running.said("process", role="child") else None
                self.report = trace.stop().report()

    @property
    def site(self) -> dict[str, Any]:
        (site,) = self.report["sites"]
        return dict(site)

    @property
    def holders(self) -> list[dict[str, Any]]:
        (one,) = self.site["sockets"]
        (listed,) = self.ss.values()
        assert {(holder["pid"], holder["fd"]) for holder in one["holders"]} == listed.holders
        return list(one["holders"])

    def assert_kept(self, holder: dict[str, Any]) -> None:
        """It came through the exec that the test has made, and has no close-on-exec by /proc."""
        assert self.before - CLOSE_S < seconds(holder["exec"]) < self.after + CLOSE_S
        assert not self.flags[holder["pid"], holder["fd"]] & os.O_CLOEXEC
        assert holder["close_on_exec"] is False
        assert holder["comm"] == self.comms[holder["pid"]]


def comm_after_exec(pid: int) -> str:
    """The name of a process, once it is that of its program.

    exec lets a parent that waits in vfork go on before it sets the name (begin_new_exec in fs/exec.c).
    """
    end = time.monotonic() + 10
    while (comm := comm_of(pid)) != Path(os.readlink(f"/proc/{pid}/exe")).name[:15]:
        assert time.monotonic() < end, comm
        time.sleep(0.001)
    return comm


def flags(pid: int, fd: int) -> int:
    """The descriptor's flags, by /proc/PID/fdinfo."""
    words = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split()
    return int(words[words.index("flags:") + 1], 8)


@pytest.mark.parametrize(("how", "comm"), [("exec", OTHER), ("again", "kept_over_exec"), ("standard", OTHER)])
def test_exec_in_the_process(how: str, comm: str) -> None:
    """The old program's call and stack, the new one's name, and no word of a pool."""
    told = Told(how)
    (holder,) = told.holders
    told.assert_kept(holder)
    assert holder["pid"] == told.pid
    site, why = told.site, " ".join(told.site["explanation"])
    words = f"{why} {site['advice']}"
    assert (site["verdict"], site["comm"]) == ("held-elsewhere", comm)
    if told.report["plan"]["receive"]:
        assert "use_and_forget" in functions(site["stack"])
    assert f"kept_over_exec (pid {told.pid})" in why
    assert f"then called exec: the program that has it now is {comm} (pid {told.pid})" in why
    assert "FD_CLOEXEC" in site["advice"]
    assert "connection pool" not in words
    assert "keep-alive" not in words
    assert ("0 to 2" in words) is (how == "standard")
    (one,) = site["sockets"]
    assert f"fd {holder['fd']} has no close-on-exec (FD_CLOEXEC), so exec kept it." in one["evidence"]


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_exec_in_a_child(how: str) -> None:
    """The child that became another program is told to have called exec; the parent, who used it, has let go."""
    told = Told(how)
    (holder,) = told.holders
    told.assert_kept(holder)
    assert (holder["pid"], holder["relation"]) == (told.child, "child")
    site = told.site
    assert (site["verdict"], site["comm"]) == ("held-elsewhere", OTHER)
    assert f"{OTHER} (pid {told.child}) called exec while it was open." in site["advice"]
    assert "FD_CLOEXEC" in site["advice"]


def test_a_copy_in_a_child_that_called_exec() -> None:
    """The parent still has its own: its verdict stands, and the child's copy is told beside it."""
    told = Told("both")
    parent, child = sorted(told.holders, key=lambda holder: holder["relation"], reverse=True)
    assert (parent["relation"], child["relation"]) == ("owner", "child")
    told.assert_kept(child)
    assert "exec" not in parent
    assert told.site["verdict"] == "idle-in-pool"
    assert f"{OTHER} (pid {told.child}) called exec while it was open." in told.site["advice"]


def test_a_program_that_was_told_and_reads() -> None:
    """A call after exec shows that the new program knows: it is judged as any other. Unless calls cannot be seen."""
    told = Told("used")
    (holder,) = told.holders
    seen = bool(told.report["plan"]["receive"])
    assert ("exec" in holder) is not seen
    assert told.site["verdict"] == ("eof-ignored" if seen else "held-elsewhere")


def test_close_on_exec() -> None:
    """With the flag nothing stays."""
    told = Told("closed")
    assert told.ss == {}
    assert told.report["sites"] == []
    (ended,) = told.report["ended_findings"]
    assert ended["how"].startswith(f"closed as process {told.pid} became {OTHER}: close-on-exec")
    assert ended["closed_stack"] == []
    assert "exec had replaced the program" in ended["closed_stack_note"]


def test_an_agent_judges_afresh(tmp_path: Path) -> None:
    """It has found the socket idle before the exec. The report after it says otherwise."""
    with Agent(tmp_path) as agent, program("exec") as running:
        running.step().step()
        let_linger()
        question = ("--pid", str(running.pid()), "--json")
        (before,) = agent.ask(*question).report()["sites"]
        running.step()
        (after,) = agent.ask(*question).report()["sites"]
    assert (before["verdict"], before["comm"]) == ("idle-in-pool", "kept_over_exec")
    assert (after["verdict"], after["comm"]) == ("held-elsewhere", OTHER)
