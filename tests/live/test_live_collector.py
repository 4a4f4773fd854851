"""An agent whose collector goes away, refuses, stalls and comes back: what it records and tells does not suffer."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.closetrace_command import REPOSITORY, let_linger
from tests.live.collector import AWAY, REFUSES, STALLS, TAKES, Collector
from tests.live.namespaces import inside, network_namespace_named
from tests.live.oracles import ss_close_wait
from tests.live.test_live_agent import Agent, assert_tells
from tests.live.workload import Workload, build

_MORE_DESCRIPTORS = 12
"""Two of the second program, connections to the collector and of a scrape, those of a new worker."""


_OFTEN = (
    f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); sys.argv[0] = 'closetrace';"
    " from tracer.agent import publishing; publishing._SHARE = 10; from tracer.cli import main; main()"
)


@pytest.fixture(autouse=True)
def _publishes_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a report takes to find on a busy machine. Else an agent then publishes once in minutes."""
    if "CLOSETRACE_TEST_COMMAND" not in os.environ:
        monkeypatch.setenv("CLOSETRACE_TEST_COMMAND", shlex.join([sys.executable, "-IB", "-c", _OFTEN]))


@pytest.fixture
def netns() -> Iterator[str]:
    """What is busy on this machine is not in it."""
    with network_namespace_named("collector") as name:
        yield name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Scrape:
    """What the agent tells Prometheus of its other exporter."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def value(self, name: str, *labels: str) -> float:
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        mine = [line for line in lines if line.startswith(name) and all(one in line for one in labels)]
        return sum(float(line.rpartition(" ")[2]) for line in mine)

    def of_otlp(self, name: str) -> float:
        return self.value(f"closetrace_export_{name}", 'exporter="otlp"')


def told(collector: Collector, program: Workload) -> int:
    """How many events the collector has taken of a program's site."""
    return sum(event.get("process.pid") == program.pid() for event in collector.events)


def leak(agent: Agent, name: str, count: int, netns: str) -> Workload:
    """A program that has leaked."""
    program = Workload(*inside(netns), str(build(name)), str(count))
    program.all_steps()
    let_linger()
    assert_tells(agent, program, netns)
    return program


def sites_of(collector: Collector, *programs: Workload) -> set[str]:
    pids = {program.pid() for program in programs}
    return {event["closetrace.site.id"] for event in collector.events if event.get("process.pid") in pids}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", [AWAY, REFUSES, STALLS])
def test_a_collector_that_comes_back(tmp_path: Path, netns: str, mode: str) -> None:
    """Nothing is lost that can be kept: each site is told once, the figures are those of ss, losses are counted."""
    port = free_port()
    scrape = Scrape(port)
    with Collector() as collector:
        collector.come(mode)
        options = ("--otlp", collector.url, "--metrics", f"127.0.0.1:{port}", "--every", "0.2", "--netns", netns)
        with Agent(tmp_path, *options) as agent, leak(agent, "idle_pool", 3, netns) as first:
            agent.until(lambda: scrape.of_otlp("failed") >= 1, "what was not taken is counted")
            agent.until(lambda: scrape.of_otlp("waiting") >= 1, "the event waits")
            few = agent.descriptors() + _MORE_DESCRIPTORS
            with leak(agent, "unread_data", 2, netns) as second:
                agent.until(lambda: scrape.of_otlp("waiting") >= 2, "both events wait")
                assert not collector.events
                collector.come(TAKES)
                collector.until(lambda: bool(told(collector, first) and told(collector, second)), "both are told")
                listed = len(ss_close_wait({first.pid(), second.pid()}, netns))
                assert listed >= 4
                collector.until(
                    lambda: sum(map(collector.sockets, sites_of(collector, first, second))) == listed, "figures"
                )
                seen = collector.requests
                collector.until(lambda: collector.requests >= seen + 3, "three more reports")
                assert (told(collector, first), told(collector, second)) == (1, 1)
                assert collector.value("closetrace.export.failed", "closetrace.exporter", "otlp") >= 1
                agent.until(lambda: scrape.of_otlp("waiting") == 0, "nothing waits any more")
                assert agent.descriptors() <= few
                assert_tells(agent, first, netns)
