"""Whether an agent with filters of its own has recorded what is asked for. Processes are this one and a child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tracer.agent.coverage import missing
from tracer.host import cgroups
from tracer.model.scope import Scope, network_of

ME = os.getpid()
HOST = Scope()


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1) as one:
        assert one.stdout is not None
        one.stdout.readline()
        yield one.pid
        one.kill()


def test_an_agent_of_the_whole_host_has_all() -> None:
    """Whatever is asked for."""
    for asked in (HOST, Scope(pids=(ME,)), Scope(comm="x"), Scope(local_ports=(80,)), Scope(netns=(1,))):
        assert missing(asked, HOST, None) == ""


def test_its_processes_and_no_others(child: int) -> None:
    """A process that it does not record is named."""
    recorded, members = Scope(pids=(ME,)), frozenset({ME})
    assert missing(Scope(pids=(ME,)), recorded, members) == ""
    assert missing(Scope(pids=(ME,), local_ports=(80,)), recorded, members) == ""
    assert f"(pid {child})" in missing(Scope(pids=(child,)), recorded, members)
    assert f"(pid {child})" in missing(Scope(pids=(ME,), follow_forks=True), recorded, members)
    assert missing(Scope(pids=(ME,), follow_forks=True), recorded, frozenset({ME, child})) == ""
    assert missing(HOST, recorded, members)


def test_a_name_that_nothing_has_now() -> None:
    """Those that had it have ended: only an agent that was told the same name has recorded them."""
    nobody = Scope(comm="no-such-name")
    assert missing(nobody, nobody, frozenset()) == ""
    assert missing(nobody, Scope(comm="nginx"), frozenset())


@pytest.mark.parametrize("name", ["local_ports", "remote_ports", "netns"])
def test_its_ports_and_namespaces_and_no_others(name: str) -> None:
    """What is asked for must lie within."""

    def scope(*values: int) -> Scope:
        some: dict[str, Any] = {name: values}
        return Scope(**some)

    recorded = scope(80, 81)
    assert missing(scope(81), recorded, None) == ""
    assert missing(scope(81, 82), recorded, None).startswith("it records only some")
    assert missing(HOST, recorded, None)


def test_its_networks_and_no_others() -> None:
    """A network within one of them is recorded."""
    recorded = Scope(remotes=(network_of("10.0.0.0/8"), network_of("::1")))
    assert missing(Scope(remotes=(network_of("10.1.0.0/16"),)), recorded, None) == ""
    for text in ("0.0.0.0/0", "11.0.0.1", "::/0"):
        assert missing(Scope(remotes=(network_of(text),)), recorded, None)
    assert missing(HOST, recorded, None)


def test_a_cgroup_that_the_agent_does_not_see() -> None:
    """An agent in a container may see its own alone. It must not say that nothing leaks in others."""
    root, _ = cgroups.find("/")
    assert missing(Scope(cgroup=root, cgroup_path="/"), HOST, None) == ""
    for number, path in ((root, "/not-there"), ((root[0] + 1, 0), "/"), (root, "/.."), (root, "/\0")):
        assert missing(Scope(cgroup=number, cgroup_path=path), HOST, None) == "it does not see that cgroup"
