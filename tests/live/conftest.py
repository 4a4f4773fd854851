"""Live tests load real BPF. They fail, never skip, where that is not possible: a skipped proof is no proof."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from gallery import Gallery


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "live" in item.path.parts:
            item.add_marker("live")


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "the live tests load BPF programs: run them as root"


@pytest.fixture(scope="session")
def gallery() -> Iterator[Gallery]:
    """One trace of many leaking programs at once; see gallery.py."""
    with Gallery() as made:
        made.trace()
        yield made


@pytest.fixture
def network_namespace() -> Iterator[str]:
    """A network namespace of its own with loopback up."""
    name = f"closetrace-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
