"""Settings that all unit tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A busy machine is no failure: what is asserted is what comes out, not how long one example took.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# A test asks no agent that happens to run on this machine.
os.environ["CLOSETRACE_AGENT_SOCKET"] = "/nonexistent/agent.sock"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, and do not skip, what needs root where it is not run as root: ``-m "not root"`` leaves it out."""
    if item.get_closest_marker("root"):
        assert os.geteuid() == 0, "this test needs root; `make unit` leaves it out, `make test` runs it"
