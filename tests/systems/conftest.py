"""The incidents with real software. If they cannot run they fail, like the live tests; they never skip."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.namespaces import inside, network_namespace_named

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "systems: runs the incidents' real software; needs root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("systems")


@pytest.fixture(scope="session", autouse=True)
def _software() -> None:
    assert os.geteuid() == 0, "the incidents are traced with BPF: run them as root"
    subprocess.run([str(HERE / "setup.sh")], check=True)


@pytest.fixture(scope="session")
def netns() -> Iterator[str]:
    """A network namespace with tcp_fin_timeout 2 s, not 60 s: an orphaned FIN_WAIT2 ends sooner."""
    with network_namespace_named("systems") as name:
        subprocess.run([*inside(name), "sysctl", "-qw", "net.ipv4.tcp_fin_timeout=2"], check=True)
        yield name


@pytest.fixture
def own_netns() -> Iterator[str]:
    """A network namespace for one test, with the kernel's default settings."""
    with network_namespace_named("alone") as name:
        yield name
