"""Reports go to the exporters: as often as was asked for, and never so often that it costs much."""

from __future__ import annotations

import time

import pytest

from tests.unit.builders import report
from tracer.agent.publishing import Publisher
from tracer.model.finding import Report


class FakeExporter:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.got: list[Report] = []
        self.closed = False

    def publish(self, report: Report) -> None:
        self.got.append(report)

    def close(self) -> None:
        self.closed = True


class Hours:
    """A clock that is moved by hand; to find a report takes ``cost_s``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost_s: float) -> None:
        self.now, self.cost_s = 1000.0, cost_s
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def found(self) -> Report:
        self.now += self.cost_s
        return report()


@pytest.mark.parametrize(("cost_s", "times"), [(0.01, 5), (0.101, 3)])
def test_how_often(monkeypatch: pytest.MonkeyPatch, cost_s: float, times: int) -> None:
    """Each 15 s, or as often as one part in 200 of the time allows."""
    hours, one, other = Hours(monkeypatch, cost_s), FakeExporter(), FakeExporter()
    publisher = Publisher([one, other], 15.0)
    for second in range(61):
        hours.now = 1000.0 + second
        publisher.look(hours.found)
    assert len(one.got) == len(other.got) == times
    publisher.close()
    assert one.closed
    assert other.closed
    publisher.look(hours.found)
    assert len(one.got) == times


def test_without_exporters_no_report_is_made() -> None:
    """It would cost for nothing."""
    Publisher([], 1.0).look(lambda: pytest.fail("a report was made"))
