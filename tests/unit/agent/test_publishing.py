"""Reports go to the exporters: as often as was asked for, and never so often that it costs much."""

from __future__ import annotations

import time

import pytest

from tests.unit.builders import report
from tracer.agent import publishing
from tracer.agent.publishing import Publisher
from tracer.errors import ClosetraceError
from tracer.model.finding import Report


class FakeExporter:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.got: list[Report] = []
        self.looks: list[float] = []
        self.closed = False

    def publish(self, report: Report) -> None:
        self.got.append(report)

    def looked(self, at: float) -> None:
        self.looks.append(at)

    def close(self) -> None:
        self.closed = True


class Hours:
    """A clock that is moved by hand; to find a report takes ``cost_s`` of CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost_s: float) -> None:
        self.now, self.cost_s = 1000.0, cost_s
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: self.now)

    def found(self) -> Report:
        self.now += self.cost_s
        return report()


class Door:
    """What opens exporters: some ports are taken by others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: set[str] = set()
        self.opened: list[tuple[str, FakeExporter]] = []
        self.said: list[str] = []
        monkeypatch.setattr(publishing, "_open", self._open)

    def _open(self, _name: str, address: str) -> FakeExporter:
        if address in self.taken:
            raise ClosetraceError(f"{address}: Address already in use")
        made = FakeExporter()
        self.opened.append((address, made))
        return made

    def living(self) -> list[str]:
        return sorted(address for address, one in self.opened if not one.closed)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


BOTH = {"prometheus": "here:1", "otlp": "http://far"}


@pytest.mark.parametrize(("cost_s", "times"), [(0.01, 5), (0.101, 4)])
def test_how_often(monkeypatch: pytest.MonkeyPatch, door: Door, cost_s: float, times: int) -> None:
    """Each 15 s, or as often as one part in 200 of the time allows: 20.2 s, after the first one, which loads code."""
    hours = Hours(monkeypatch, cost_s)
    publisher = Publisher(BOTH, 15.0, door.said.append)
    (_, one), (_, other) = door.opened
    for second in range(61):
        hours.now = 1000.0 + second
        publisher.look(hours.found)
    assert len(one.got) == len(other.got) == times
    publisher.close()
    assert one.closed
    assert other.closed
    publisher.look(hours.found)
    assert len(one.got) == times


def test_looks_are_told_more_often_than_reports(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    """A report of many sockets takes seconds, so it comes once in minutes. The agent does not stand still meanwhile."""
    hours = Hours(monkeypatch, 2.0)
    publisher = Publisher(BOTH, 15.0, door.said.append)
    (_, one), _ = door.opened
    for second in range(300):
        hours.now = 1000.0 + second
        publisher.look(hours.found)
    assert len(one.got) == 2
    assert len(one.looks) == 300


def test_without_exporters_no_report_is_made() -> None:
    """It would cost for nothing."""
    Publisher({}, 1.0, print).look(lambda: pytest.fail("a report was made"))


def test_one_that_cannot_be_opened(door: Door) -> None:
    """At the start nothing is opened then."""
    door.taken.add("http://far")
    with pytest.raises(ClosetraceError, match="in use"):
        Publisher(BOTH, 1.0, door.said.append)
    assert door.living() == []


def test_what_stays_the_same_goes_on(door: Door) -> None:
    """A collector is not left and found again because the metrics have another port."""
    publisher = Publisher(BOTH, 1.0, door.said.append)
    publisher.change({"prometheus": "here:2", "otlp": "http://far"})
    assert [address for address, _ in door.opened] == ["here:1", "http://far", "here:2"]
    assert door.living() == ["here:2", "http://far"]
    publisher.change({})
    assert door.living() == []


def test_what_was_before_is_tried_again(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    """The new port is another one's, and meanwhile somebody took the old one: once he leaves it is published there."""
    hours = Hours(monkeypatch, 0.0)
    publisher = Publisher({"prometheus": "here:1"}, 15.0, door.said.append)
    publisher.look(hours.found)
    door.taken |= {"here:1", "here:2"}
    with pytest.raises(ClosetraceError, match="here:2"):
        publisher.change({"prometheus": "here:2"})
    assert door.living() == []
    for _ in range(60):
        hours.now += 1.0
        publisher.look(hours.found)
    assert door.said == ["every 10 s it is tried again: here:1: Address already in use"]
    door.taken.clear()
    for _ in range(11):
        hours.now += 1.0
        publisher.look(hours.found)
    assert door.living() == ["here:1"]
    assert door.said[1:] == ["publishes at here:1 again"]
    assert len(door.opened[-1][1].got) == 1
