"""The agent on a real host: it answers from its records what leaked before anybody asked. Harm costs it nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.live.closetrace_command import (
    END_LIMIT_S,
    LINGER,
    REPOSITORY,
    SLOW,
    START_LIMIT_S,
    Ran,
    Trace,
    let_linger,
    run_closetrace,
)
from tests.live.oracles import assert_stack_is, seconds, ss_close_wait
from tests.live.workload import Workload, start

CENSUS_SCHEMA = json.loads((REPOSITORY / "docs/census.schema.json").read_text())


class Agent(Trace):
    """An agent with a place of its own to ask it at, and the service manager's end."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.path = str(folder / "agent.sock")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(START_LIMIT_S)
        self.config = folder / "agent.conf"
        if not self.config.exists():
            self.config.write_text("")
        words = ("agent", "--config", str(self.config), "--socket", self.path, *LINGER, *options)
        super().__init__(*words, env={"NOTIFY_SOCKET": str(folder / "notify")})
        assert self.heard("READY=1")

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *more: object) -> None:
        self.manager.close()
        super().__exit__(*more)

    def heard(self, first: str) -> str:
        """The next datagram that begins so."""
        while True:
            said = self.manager.recv(4096).decode()
            if said.startswith(first):
                return said

    def descriptors(self) -> int:
        """How many it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def ask(self, *words: str) -> Ran:
        """The answer. Where a machine is so busy that the agent's greeting takes a second, it is asked again."""
        command = words[:1] if words[0] in ("timeline",) else ()
        for _ in range(10):
            with Trace(*command, "--agent-socket", self.path, *LINGER, *words[len(command) :]) as asked:
                while asked.process.poll() is None and "Tracing anew" not in asked.err():
                    time.sleep(0.02)
                if "does not answer within" not in asked.err():
                    return asked.wait()
        raise AssertionError("it never greets")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path) as one:
        yield one


@pytest.fixture
def leaked(agent: Agent) -> Iterator[Workload]:
    """A program that leaked before anybody asked."""
    with start("idle_pool", "3") as program:
        program.all_steps()
        let_linger()
        yield program


def sockets(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["local"], one["remote"]) for site in report["sites"] for one in site["sockets"]}


def assert_tells(agent: Agent, program: Workload, netns: str | None = None) -> dict[str, Any]:
    """The report of the agent on this program is what ss lists."""
    where = ("--netns", netns) if netns is not None else ()
    report = agent.ask("--pid", str(program.pid()), *where, "--json").report()
    assert sockets(report) == set(ss_close_wait({program.pid()}, netns))
    found = report["reconciliation"]
    assert found["complete"]
    assert found["listed"] - found["out_of_scope"] == found["told"] == report["lingering"]
    return report


def test_it_tells_what_leaked_before_anybody_asked(agent: Agent, leaked: Workload) -> None:
    """With stacks, as many as ss lists, and since when it has recorded; at once."""
    report = assert_tells(agent, leaked)
    (site,) = report["sites"]
    assert site["pid"] == leaked.pid()
    assert site["count"] == 3
    if report["plan"]["receive"]:
        assert_stack_is(site["stack"], leaked.touches("recv")[-1])
    assert report["recorded_since"] == report["started"]
    assert seconds(report["started"]) < leaked.connected_between(leaked.sockets()[0]["inode"])[0]


def test_it_prints_as_a_trace_prints(agent: Agent, leaked: Workload) -> None:
    """The same text; what was not asked for is not in it; a gate compares the same number."""
    ran = agent.ask("--pid", str(leaked.pid()))
    assert ran.code == 0
    assert ran.lines()[0].startswith("3 sockets in CLOSE_WAIT")
    assert "from the records of the agent, which has recorded since 20" in ran.out
    assert "asked the agent" in ran.err
    with start("idle_pool", "1") as other:
        other.all_steps()
        let_linger()
        assert agent.ask("--pid", str(other.pid())).lines()[0].startswith("1 socket in CLOSE_WAIT")
        assert agent.ask("--pid", str(leaked.pid()), "--linger", "90s").lines()[0].startswith("no socket stayed")
        assert agent.ask("--pid", str(leaked.pid()), "--fail-over", "2").code == 3
        assert agent.ask("--pid", str(leaked.pid()), "--fail-over", "3").code == 0


def test_a_timeline_tells_those_that_lingered(agent: Agent, leaked: Workload) -> None:
    """One block each, with the calls that were made before anybody asked."""
    ran = agent.ask("timeline", "--pid", str(leaked.pid()))
    assert ran.out.count("still CLOSE_WAIT") == 3
    assert ran.out.count("connect") >= 3


def test_what_left_is_told_as_ended(agent: Agent, leaked: Workload) -> None:
    """Also after its process has ended."""
    pid, name = leaked.pid(), "idle_pool"
    leaked.kill()
    time.sleep(2.2 * SLOW)
    report = agent.ask("--comm", name, "--json").report()
    assert not [site for site in report["sites"] if site["pid"] == pid]
    assert sum(kind["count"] for kind in report["ended_kinds"]) >= 3


def test_what_it_does_not_record_is_traced_anew(tmp_path: Path, leaked: Workload) -> None:
    """One line says why. The same without an agent, or with --fresh, or where it is told how to trace."""
    other = tmp_path / "other"
    other.mkdir()
    pid = str(leaked.pid())
    with Agent(other, "--pid", str(os.getpid())) as narrow:
        ran = narrow.ask("--pid", pid, "--json", "--duration", "1")
        assert "agent" not in ran.err
        for options in ((), ("--fresh",)):
            words = ("--agent-socket", narrow.path, *LINGER, "--pid", pid, "--json", *options)
            with Trace(*words) as trace:
                trace.attached()
                err = trace.err()
                report = trace.stop().report()
            assert report["recorded_since"] is None
            assert sockets(report) == set(ss_close_wait({leaked.pid()}))
            assert ("does not record" in err, "Tracing anew" in err) == (
                (True, True) if not options else (False, False)
            )


def _harm(path: str) -> list[socket.socket]:
    """Clients that never ask, never read, ask without end, say rubbish, and come a thousand times."""

    def connect() -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(5)
        with contextlib.suppress(OSError):
            line.connect(path)
        return line

    kept = [connect() for _ in range(10)]
    for line in kept:
        with contextlib.suppress(OSError):
            line.sendall(os.urandom(200) + b"\n" if line.fileno() % 2 else b"x" * (1 << 20))
    for _ in range(1000):
        connect().close()
    return kept


def test_whoever_does_harm_delays_nobody(agent: Agent, leaked: Workload) -> None:
    """It answers, it counts sockets as before, its descriptors are as many as before, and SIGTERM ends it at once."""
    before = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
    kept = _harm(agent.path)
    assert_tells(agent, leaked)
    for line in kept:
        line.close()
    assert_tells(agent, leaked)
    agent.until(lambda: len(os.listdir(f"/proc/{agent.process.pid}/fd")) <= before + 4, "their descriptors are closed")
    begun = time.monotonic()
    ran = agent.stop(signal.SIGTERM)
    assert time.monotonic() - begun < 5 * SLOW
    assert (ran.code, ran.out) == (0, "")
    assert not os.path.exists(agent.path)


def test_its_configuration_is_read_again(agent: Agent, leaked: Workload) -> None:
    """The records stay, also if what it says is wrong; with another scope they begin anew."""
    since = assert_tells(agent, leaked)["recorded_since"]

    def reload(text: str) -> str:
        agent.config.write_text(text)
        agent.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in agent.heard("RELOADING=1")
        return agent.heard("READY=1")

    reload("[agent]\ngroup = daemon\nmax-overhead = 50\n")
    assert os.stat(agent.path).st_mode & 0o777 == 0o660
    assert assert_tells(agent, leaked)["recorded_since"] == since
    reload("[agent]\nlinger = soon\n")
    assert "the configuration stays as it was" in agent.err()
    assert "[agent] linger" in agent.err()
    reload("[agent]\ngroup = no-such-group\n")
    assert "no such group" in agent.err()
    assert assert_tells(agent, leaked)["recorded_since"] == since
    assert f"(pid {leaked.pid()})" in reload(f"[filter]\npid = {leaked.pid()}\n")
    report = assert_tells(agent, leaked)
    assert seconds(report["recorded_since"]) > seconds(since)


def test_a_restart_knows_the_sockets_that_were_there(tmp_path: Path, agent: Agent, leaked: Workload) -> None:
    """Without their stacks: it says from when on it knows. One that was killed leaves nothing in the way."""
    agent.process.kill()
    agent.process.wait(END_LIMIT_S)
    again = tmp_path / "again"
    again.mkdir()
    os.rename(agent.path, again / "agent.sock")
    with Agent(again) as restarted:
        let_linger()
        report = assert_tells(restarted, leaked)
    assert all(one["preexisting"] for site in report["sites"] for one in site["sockets"])


def _census(agent: Agent, *words: str) -> Ran:
    return run_closetrace("census", "--agent-socket", agent.path, *words)


def _census_json(agent: Agent, *words: str) -> dict[str, Any]:
    ran = _census(agent, *words, "--json")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = json.loads(ran.out)
    jsonschema.Draft202012Validator(CENSUS_SCHEMA).validate(found)
    return found


def test_a_census_tells_the_code_paths_of_what_it_counts(agent: Agent, leaked: Workload) -> None:
    """The counts are those of ss; the site, its function and its age are those of the agent's report."""
    pid = str(leaked.pid())
    listed = ss_close_wait({leaked.pid()})
    (site,) = assert_tells(agent, leaked)["sites"]
    told = _census_json(agent, "--pid", pid)
    (state,) = (one for one in told["states"] if one["state"] == "CLOSE_WAIT")
    found = told["recorded"]
    assert state["count"] == found["close_wait"] == len(listed) == 3
    (ours,) = found["sites"]
    assert (ours["id"], ours["count"], ours["pid"]) == (site["id"], 3, leaked.pid())
    assert ours["verdict"] == site["verdict"]
    assert (found["older"], found["younger"], found["unknown"]) == (0, 0, 0)
    assert seconds(found["since"]) < leaked.connected_between(leaked.sockets()[0]["inode"])[0]
    names = [frame["function"] for frame in site["stack"] if not frame["internal"]]
    for width in (80, 200):
        ran = run_closetrace("census", "--agent-socket", agent.path, "--pid", pid, env={"COLUMNS": str(width)})
        block = ran.out[ran.out.index("Code paths") :].split("\n\n")[0].splitlines()
        assert max(map(len, block)) <= width
        assert block[-1] == "  These are all 3 sockets in CLOSE_WAIT."
        assert any(name in block[-2] for name in names)
    assert "Code paths" not in _census(agent, "--pid", pid, "--fresh").out
    assert _census_json(agent, "--pid", pid, "--fresh")["recorded"] is None


def test_a_census_says_what_the_agent_does_not_know(agent: Agent, leaked: Workload, tmp_path: Path) -> None:
    """One that has just begun has no code path of theirs, one that records others says so; the count is the same."""
    pid = str(leaked.pid())
    other, narrow = tmp_path / "other", tmp_path / "narrow"
    other.mkdir()
    narrow.mkdir()
    with Agent(other) as late:
        let_linger()
        found = _census_json(late, "--pid", pid)["recorded"]
        assert (found["close_wait"], found["older"], found["sites"]) == (len(ss_close_wait({leaked.pid()})), 3, [])
        assert "3 are older than the recording" in _census(late, "--pid", pid).out
    with Agent(narrow, "--pid", str(os.getpid())) as others:
        ran = _census(others, "--pid", pid, "--json")
    (line,) = ran.err.splitlines()
    assert "does not record" in line
    counted = json.loads(ran.out)
    assert counted["recorded"] is None
    assert counted["groups"][0]["count"] == 3
    without = run_closetrace("census", "--pid", pid)
    assert (without.code, without.err) == (0, "")
    assert "Code paths" not in without.out


def test_a_census_does_not_wait_for_an_agent_that_is_stopped(agent: Agent, leaked: Workload) -> None:
    """Its socket takes connections and nobody answers: a line says so, and the count is printed."""
    pid = str(leaked.pid())
    agent.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        ran = _census(agent, "--pid", pid)
        assert time.monotonic() - begun < 10 * SLOW
    finally:
        agent.process.send_signal(signal.SIGCONT)
    (line,) = ran.err.splitlines()
    assert "does not answer within" in line
    assert "CLOSE_WAIT: 3 sockets" in ran.out
    assert "Code paths" not in ran.out


def test_a_census_of_a_user_who_may_not_ask(agent: Agent, leaked: Workload) -> None:
    """The count without the agent's part, and not a word of it."""
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    ran = run_closetrace("census", "--agent-socket", agent.path, prefix=nobody)
    assert (ran.code, ran.err) == (0, "")
    assert "CLOSE_WAIT" in ran.out
    assert "Code paths" not in ran.out


def test_a_watched_census_has_the_code_paths_of_a_leak_to_come(agent: Agent) -> None:
    """Each round counts anew; the agent is asked now and then, and what it does not know yet is younger."""
    with start("idle_pool", "2") as program:
        program.all_steps()
        let_linger()
        words = ("census", "--agent-socket", agent.path, "--pid", str(program.pid()), "--json", "--watch", "0.2")
        with Trace(*words) as watch:
            watch.until(lambda: watch.out().count("\n") >= 3, "three rounds")
            ran = watch.stop()
    assert (ran.code, ran.err) == (0, "")
    for line in ran.lines():
        found = json.loads(line)["recorded"]
        assert found["close_wait"] == sum(site["count"] for site in found["sites"]) == 2


def test_prometheus_gets_what_the_agent_tells(tmp_path: Path) -> None:
    """The figures are those of ss."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--metrics", f"127.0.0.1:{port}", "--every", "0.2")
    with Agent(tmp_path, *options) as agent, start("idle_pool", "3") as program:
        program.all_steps()
        agent.until(lambda: _figure(port, program.pid()) == 3, "three sockets are published")
        assert len(ss_close_wait({program.pid()})) == 3


def _figure(port: int, pid: int) -> int:
    """How many sockets of the program are published."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = os.readlink(f"/proc/{pid}/exe").rpartition("/")[2]
    mine = [line for line in lines if line.startswith("closetrace_close_wait_sockets{") and f'"{name}"' in line]
    return round(sum(float(line.rpartition(" ")[2]) for line in mine))
