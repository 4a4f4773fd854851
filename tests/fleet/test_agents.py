"""Three agents, each with a network namespace of its own as its host, and one program that leaks in all of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.fleet.engine import eventually, free_port
from tests.live.closetrace_command import command
from tests.live.namespaces import inside, network_namespace_named
from tests.live.workload import Workload, build

HOSTS = 3
_PATIENCE_S = 100
"""An agent rests for 200 times as long as a report took it: on a busy machine for a minute."""


@contextlib.contextmanager
def agent(netns: str, directory: Path) -> Iterator[int]:
    """An agent that starts, for the sockets of one namespace; the port where it will serve its figures."""
    port = free_port()
    words, environment = command()
    options = ("--netns", netns, "--socket", str(directory / f"{netns}.sock"), "--linger", "1", "--memory", "8")
    publish = ("--metrics", f"127.0.0.1:{port}", "--every", "1")
    every = [*words, "agent", *options, *publish]
    with (
        (directory / f"{netns}.log").open("wb") as log,
        subprocess.Popen(every, stdout=log, stderr=log, env={**os.environ, **environment}) as process,
    ):
        try:
            yield port
        finally:
            process.terminate()
            process.wait(30)


def scrape(port: int) -> dict[str, list[tuple[dict[str, str], float]]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {family.name: [(s.labels, s.value) for s in family.samples] for family in families if family.samples}


def leaks(port: int) -> list[tuple[dict[str, str], float]]:
    return scrape(port).get("closetrace_close_wait_sockets", [])


def test_one_leak_on_three_hosts_is_one_site(tmp_path: Path) -> None:
    """Each host has its own process, ports and addresses; the site's id is the same."""
    with contextlib.ExitStack() as stack:
        spaces = [stack.enter_context(network_namespace_named(f"fleet{host}")) for host in range(HOSTS)]
        ports = [stack.enter_context(agent(space, tmp_path)) for space in spaces]
        for port in ports:
            eventually(partial(scrape, port), "an agent has no figures")
        programs = [stack.enter_context(Workload(*inside(space), str(build("idle_pool")), "2")) for space in spaces]
        for program in programs:
            program.all_steps()
        found = [eventually(partial(leaks, port), "no leak was told", _PATIENCE_S) for port in ports]
    sites = {(labels["program"], labels["site"], value) for samples in found for labels, value in samples}
    assert [(name, len(site), value) for name, site, value in sites] == [("idle_pool", 16, 2)]
