"""What an agent does between its looks, without a session: the kernel side is tested live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from tests.unit.builders import report
from tracer.agent import publishing, service
from tracer.agent.place import Place
from tracer.agent.settings import Settings
from tracer.errors import ClosetraceError, HostUnsupported, UsageError
from tracer.kernel.source import Sizes, Wanted
from tracer.model.finding import Tick
from tracer.model.scope import Scope
from tracer.session import following
from tracer.session.request import Request

UNIT = Scope(cgroup=(41, 2), cgroup_path="/system.slice/shop.service")
REQUEST = Request(UNIT, "cgroup shop.service", Sizes(32 << 20), Wanted(10), max_overhead=1.0, endless=True)
TICK = Tick((), 0, 0, None)

pytestmark = pytest.mark.usefixtures("_own_signals")


class FakeSession:
    """Counts what an agent does with it. With a memory of 1 there can be none."""

    def __init__(self, request: Request) -> None:
        if request.sizes.memory == 1:
            raise HostUnsupported("the kernel has no memory")
        self.request, self.closed, self.pod_names, self.started = request, False, request.pod_names, 1.7e9

    summary = staticmethod(report)

    def members(self) -> None:
        return None

    def name_pods(self, where: str) -> None:
        self.pod_names = where

    def limit(self, _percent: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakeExporter:
    """Takes an address as a port is taken: nobody else can have it meanwhile."""

    taken: set[str] = set()

    def __init__(self, address: str) -> None:
        if address in self.taken:
            raise ClosetraceError(f"{address}: Address already in use")
        self.address = address
        self.taken.add(address)

    def publish(self, _report: object) -> None:
        pass

    def looked(self, _at: float) -> None:
        pass

    def close(self) -> None:
        self.taken.remove(self.address)


class Bench:
    """An agent at its work, and what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.said: list[str] = []
        FakeExporter.taken = set()
        self._monkeypatch = monkeypatch
        self.open_sessions_by(FakeSession)
        monkeypatch.setattr(publishing, "_open", lambda _name, address: FakeExporter(address))
        self.settings = Settings(REQUEST, socket=str(folder / "agent.sock"), metrics="one:1", otlp="http://far")
        self.agent: Any = service.Agent(self.settings, lambda: self.settings, self.said.append)
        place = Place(self.settings.socket, "")
        self.agent._publisher = publishing.Publisher(publishing.addresses(self.settings), 15.0, self.said.append)
        self.agent._session = self.agent._opened()
        self.agent._listener = self.agent._listen(place)

    def open_sessions_by(self, make: Callable[[Request], FakeSession]) -> None:
        self._monkeypatch.setattr(service, "Session", make)

    def reload(self, **changed: Any) -> None:
        self.settings = replace(self.settings, **changed)
        self.agent._reload()

    def close(self) -> None:
        self.agent._listener.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    made = Bench(monkeypatch, tmp_path)
    yield made
    made.close()


def test_what_restarted_is_recorded_anew(bench: Bench) -> None:
    """The session ends, and the next one has the new cgroup."""
    agent = bench.agent
    agent._renewal = SimpleNamespace(look=lambda _members: None)
    agent._looked(TICK)
    assert not agent._stop.reopens
    agent._renewal = SimpleNamespace(look=lambda _members: replace(UNIT, cgroup=(77, 2)))
    agent._looked(TICK)
    assert agent._stop.reopens
    first = agent._session
    agent._open_anew()
    assert first.closed
    assert agent._session.request.scope == replace(UNIT, cgroup=(77, 2))


def test_the_watchdog_hears_of_long_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of many sockets takes longer than the watchdog waits, and so may a worker that reads one stack."""
    said: list[float] = []
    monkeypatch.setattr(bench.agent._notifier, "alive", lambda: said.append(1))
    session = bench.agent._opened()
    for number, _ in enumerate(session.request.underway.each("judging sockets", range(1000)), 1):
        assert len(said) >= number
    said.clear()
    asked = following._hurries(bench.agent._stop, session.request.waiting)
    assert not asked()
    assert said == [1]


def test_a_configuration_is_taken_over_whole_or_not_at_all(bench: Bench, tmp_path: Path) -> None:
    """Its socket could be had, its address for metrics could not: both stay as they were, and nobody was sent away."""
    listener, exporters = bench.agent._listener, dict(bench.agent._publisher._exporters)
    FakeExporter.taken.add("taken:80")
    (tmp_path / "other").mkdir()
    bench.reload(socket=str(tmp_path / "other/agent.sock"), every_s=1.0, metrics="taken:80")
    assert "the configuration stays as it was: taken:80: Address already in use" in bench.said
    assert bench.agent._listener is listener
    assert list((tmp_path / "other").iterdir()) == []
    assert bench.agent._publisher._exporters["otlp"] is exporters["otlp"]
    assert bench.agent._publisher._exporters["prometheus"].address == "one:1"
    assert bench.agent._publisher.every_s == 15.0
    bench.reload(socket=str(tmp_path / "other/agent.sock"), metrics="two:1")
    assert FakeExporter.taken == {"taken:80", "two:1", "http://far"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["agent.sock", "agent.sock.lock"]


def test_a_place_that_cannot_be_had_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    """Nor a group that is not there: the socket is not even closed meanwhile."""
    listener = bench.agent._listener
    for changed in ({"socket": str(tmp_path / "none/none/agent.sock")}, {"group": "no-such-group"}):
        before = bench.settings
        bench.reload(**changed)
        assert bench.said[-1].startswith("the configuration stays as it was: --")
        assert bench.agent._listener is listener
        assert bench.agent._settings == before
        bench.settings = before


def test_names_of_pods_change_at_once(bench: Bench) -> None:
    """The records stay."""
    bench.reload(request=replace(REQUEST, pod_names="off"))
    assert bench.agent._session.pod_names == "off"
    assert not bench.agent._stop.reopens


def test_what_cannot_be_recorded_is_recorded_as_before(bench: Bench) -> None:
    """There is a gap, and no end. What cannot be recorded at all ends the agent."""
    bench.reload(request=replace(REQUEST, sizes=Sizes(1)))
    assert bench.agent._stop.reopens
    bench.agent._open_anew()
    assert "records as before: the kernel has no memory" in bench.said[-2]
    assert bench.agent._settings.request == bench.agent._session.request == REQUEST
    bench.open_sessions_by(lambda _request: FakeSession(replace(REQUEST, sizes=Sizes(1))))
    with pytest.raises(HostUnsupported):
        bench.agent._open_anew()


def test_mistakes_are_found_before_the_kernel_side_is_loaded(bench: Bench, tmp_path: Path) -> None:
    """It takes seconds. Nothing stays of what was opened before the mistake."""
    loaded: list[Request] = []

    def session(request: Request) -> FakeSession:
        loaded.append(request)
        return FakeSession(request)

    bench.open_sessions_by(session)
    other = replace(bench.settings, socket=str(tmp_path / "second.sock"), metrics="", otlp="")
    wrong: dict[str, dict[str, Any]] = {
        "another agent": {"socket": bench.settings.socket},
        "in use": {"metrics": "one:1"},
    }
    for text, changed in wrong.items():
        with pytest.raises((UsageError, ClosetraceError), match=text):
            service.Agent(replace(other, **changed), lambda: other, bench.said.append).run()
    assert loaded == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.sock", "agent.sock.lock"]
