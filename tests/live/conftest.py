"""Live tests load real BPF. They fail, never skip, where that is not possible: a skipped proof is no proof."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.live.gallery import Gallery
from tests.live.namespaces import network_namespace_named


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
    with network_namespace_named("live") as name:
        yield name
