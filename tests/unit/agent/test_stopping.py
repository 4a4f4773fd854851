"""The signals of an agent, as the kernel delivers them."""

from __future__ import annotations

import os
import signal
from typing import Optional

import pytest

from tracer import earliest
from tracer.agent.stopping import AgentStop

pytestmark = pytest.mark.usefixtures("_own_signals")


class Calls:
    """Counts how often the agent rested and read its configuration again."""

    def __init__(self) -> None:
        self.rests = self.readings = 0

    def rest(self, _seconds: float, _wakes: Optional[int]) -> bool:
        self.rests += 1
        return False

    def read(self) -> None:
        self.readings += 1


def _signalled(*numbers: signal.Signals) -> tuple[AgentStop, Calls]:
    calls = Calls()
    stop = AgentStop(calls.rest, calls.read)
    for number in numbers:
        os.kill(os.getpid(), number)
    return stop, calls


def test_hanging_up_reads_the_configuration_again() -> None:
    """Once for each rest, and the recording goes on."""
    stop, calls = _signalled(signal.SIGHUP, signal.SIGHUP)
    assert not stop.over()
    stop.wait(1.0)
    stop.wait(1.0)
    assert (calls.readings, calls.rests) == (1, 2)


def test_hanging_up_while_it_starts_does_not_end_it() -> None:
    """The signal came before anybody could say what it means."""
    earliest.catch()
    os.kill(os.getpid(), signal.SIGHUP)
    stop, calls = _signalled()
    assert not stop.asked
    stop.wait(1.0)
    assert calls.readings == 1


def test_a_report_is_not_to_be_had_by_a_signal() -> None:
    """A session does not rest while a report is asked for: an agent would run without rest, and answer nobody."""
    stop, _ = _signalled(signal.SIGUSR1)
    assert not stop.report_asked
    assert not stop.over()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_ends_it(number: signal.Signals) -> None:
    """At once."""
    stop, _ = _signalled(number)
    assert stop.asked
    assert stop.over()
