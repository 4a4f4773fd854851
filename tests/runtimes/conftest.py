"""Like the live tests these fail, never skip, where they cannot run. CLOSETRACE_RUNTIMES has the runtimes to test."""

from __future__ import annotations

import os

import pytest

CHOSEN = os.environ.get("CLOSETRACE_RUNTIMES", "perl php lua").split()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of runtimes that were not chosen. A test's first parameter begins with the runtime's name."""
    left = [item for item in items if "runtimes" in item.path.parts and not _is_chosen(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _is_chosen(item: pytest.Item) -> bool:
    return item.name.partition("[")[2].rstrip("]").partition("-")[0] in CHOSEN


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "these tests load BPF programs: run them as root"
