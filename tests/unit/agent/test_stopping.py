"""The signals of an agent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tracer import earliest
from tracer.agent.stopping import AgentStop


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Signal handling is the process's own: given back after each test."""
    before = [signal.getsignal(number) for number in earliest.SIGNALS]
    yield
    for number, handler in zip(earliest.SIGNALS, before):
        signal.signal(number, handler)


def test_a_report_is_not_asked_for_by_a_signal() -> None:
    """A session does not rest while a report is asked for, and an agent answers only while it rests."""
    served: list[float] = []
    stop = AgentStop(served.append, lambda: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert not stop.report_asked
    assert not stop.over()
    stop.wait(0.25)
    assert served == [0.25]


def test_hanging_up_has_the_configuration_read_again() -> None:
    """Once, at the next rest."""
    reread: list[bool] = []
    stop = AgentStop(lambda _seconds: None, lambda: reread.append(True))
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stop.over()
    stop.wait(0)
    stop.wait(0)
    assert reread == [True]
