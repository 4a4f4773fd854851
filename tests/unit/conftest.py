"""Settings that all unit tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tracer import earliest

# A busy machine is no failure: what is asserted is what comes out, not how long one example took.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# A test asks no agent that happens to run on this machine.
os.environ["CLOSETRACE_AGENT_SOCKET"] = "/nonexistent/agent.sock"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, and do not skip, what needs root where it is not run as root: ``-m "not root"`` leaves it out."""
    if item.get_closest_marker("root"):
        assert os.geteuid() == 0, "this test needs root; `make unit` leaves it out, `make test` runs it"


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Signal handling is the process's own: given back after the test, with no signal left to be taken."""
    before = [signal.getsignal(number) for number in earliest.SIGNALS]
    yield
    earliest.taken()
    for number, handler in zip(earliest.SIGNALS, before):
        signal.signal(number, handler)
