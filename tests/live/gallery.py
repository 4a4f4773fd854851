"""Many leaking programs under one trace. Each has its own tests."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, Callable

from tests.live.closetrace_command import LINGER, SLOW, Ran, Trace, let_linger
from tests.live.oracles import SsLine, comm_of, holders_of, netns_of, output, ss
from tests.live.workload import Workload, build, start, start_python

# Silence between the last touch and the peer's FIN.
IDLE_S = 0.7

PROGRAMS: dict[str, Callable[[], Workload]] = {
    "idle pool": lambda: start("idle_pool", "3"),
    # Programs of one name would be one site.
    "idle pool, IPv6": lambda: Workload(str(build("idle_pool", output="idle_ipv6")), "2", "6"),
    "idle pool, v4-mapped": lambda: Workload(str(build("idle_pool", output="idle_mapped")), "2", "mapped"),
    "idle pool, stripped": lambda: Workload(str(build("idle_pool", "-s", link=(), output="idle_stripped")), "2"),
    "idle pool, static": lambda: Workload(str(build("idle_pool", link=("-static",), output="idle_static")), "2"),
    "EOF ignored": lambda: start("eof_ignored", "2"),
    "unread data": lambda: start("unread_data", "5000"),
    "never accepted": lambda: start("never_accepted", "3"),
    "server leak": lambda: start("server_leak", "3"),
    "fork held": lambda: start("fork_held"),
    "passed descriptor": lambda: start("passed_descriptor"),
    "half-closed in use": lambda: start("half_closed_in_use"),
    "reset while open": lambda: start("reset_open"),
    "shutdown read": lambda: start("shutdown_no_close", "read"),
    "shutdown write": lambda: start("shutdown_no_close", "write"),
    "shared socket": lambda: start("shared_socket"),
    "blocked in send": lambda: start("blocked_send"),
    "dlopened": lambda: start("dlopened", str(build("plugin", "-shared", "-fPIC", link=(), output="plugin.so"))),
    "signal handler": lambda: start("signal_handler"),
    "C++": lambda: start("cpp_pool"),
    "Python": lambda: start_python("python_pool"),
    "clean": lambda: start("clean", "5"),
    "SO_LINGER 0": lambda: start("linger_zero"),
}


class Exhibit:
    """One program, what closetrace says of it, and what other sources said at the same time."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.sites: list[dict[str, Any]] = []
        self.ss: dict[tuple[str, str], SsLine] = {}
        self.holders: dict[int, set[tuple[int, int]]] = {}
        self.netns = 0
        self.comms: dict[int, str] = {}
        self.eu_stack = ""

    def observe(self, lines: list[SsLine]) -> None:
        """Ask ss and /proc while the program waits."""
        pids = self.workload.pids()
        listeners = {word["local"] for word in self.workload.said("socket", role="listener")}
        self.ss = {
            (line.local, line.remote): line
            for line in lines
            if line.state == "CLOSE-WAIT" and (line.local in listeners or {pid for pid, _ in line.holders} & pids)
        }
        self.holders = {word["inode"]: holders_of(word["inode"]) for word in self.workload.said("socket")}
        self.netns = netns_of(self.workload.pid())
        self.comms = {pid: comm_of(pid) for pid in pids}

    def site(self) -> dict[str, Any]:
        """The only site of this program."""
        assert len(self.sites) == 1, [(site["verdict"], site["count"], site["remote"]) for site in self.sites]
        return self.sites[0]

    def sockets(self) -> list[dict[str, Any]]:
        """All sockets of all sites."""
        return [socket for site in self.sites for socket in site["sockets"]]


class Gallery:
    """All programs, traced together by ``closetrace --pid ... --pid ... --json``."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.exhibits: dict[str, Exhibit] = {}
        self.ran = Ran(-1, "", "")
        self.report: dict[str, Any] = {}

    def __enter__(self) -> Gallery:
        for name, make in PROGRAMS.items():
            self.exhibits[name] = Exhibit(self._stack.enter_context(make()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Exhibit:
        return self.exhibits[name]

    def cost(self, family: str) -> str:
        """What the report says that it lacks without a hook for ``family``."""
        return str(next(one["cost"] for one in self.report["plan_details"] if one["family"] == family))

    def sees(self, op: str) -> bool:
        """Whether calls of that kind have a hook in this trace."""
        family = {"recv": "receive", "connect": "state"}.get(op, op)
        return self.report["plan"][family] is not None

    def trace(self) -> None:
        """Runs all programs to their last step under one trace and keeps the report."""
        pids = [pid for exhibit in self.exhibits.values() for pid in exhibit.workload.pids()]
        options = [word for pid in pids for word in ("--pid", str(pid))]
        with Trace(*options, *LINGER, "--json") as trace:
            trace.attached()
            for exhibit in self.exhibits.values():
                exhibit.workload.step()
            time.sleep(IDLE_S * SLOW)
            for exhibit in self.exhibits.values():
                exhibit.workload.all_steps()
            let_linger()
            lines = ss()
            for exhibit in self.exhibits.values():
                exhibit.observe(lines)
            self.ran = trace.stop()
        self.report = self.ran.report()
        for exhibit in self.exhibits.values():
            pids_of = exhibit.workload.pids()
            for word in exhibit.workload.said("thread"):
                exhibit.eu_stack = output("eu-stack", "-1", "-p", str(word["tid"]))
            exhibit.sites = [site for site in self.report["sites"] if site["pid"] in pids_of]
