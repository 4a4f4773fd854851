"""Like the live tests these fail, never skip, where they cannot run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lineage.programs import listening
from tracer.stacks.jail.keeper import Keeper


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ci: one of the cells that stand for the rest")


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "heaps of other processes are read: run the tests as root"


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture(scope="session")
def peer() -> Iterator[int]:
    """The port of a server that accepts, and never says anything."""
    with listening() as port:
        yield port
