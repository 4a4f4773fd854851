"""What an agent does between its looks, without a session: the kernel side is tested live."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.builders import report
from tracer.agent import service
from tracer.agent.publishing import Publisher
from tracer.agent.settings import Settings
from tracer.errors import ClosetraceError
from tracer.host import cgroups
from tracer.kernel.source import Sizes, Wanted
from tracer.model.finding import Tick
from tracer.model.scope import Scope
from tracer.session.request import Request

UNIT = Scope(cgroup=(41, 2), cgroup_path="/system.slice/shop.service")
REQUEST = Request(UNIT, "cgroup shop.service", Sizes(32 << 20), Wanted(10), max_overhead=1.0, endless=True)
TICK = Tick((), 0, 0, None)

pytestmark = pytest.mark.usefixtures("_own_signals")


def _agent(settings: Settings) -> service.Agent:
    made: Any = service.Agent(settings, lambda: settings, lambda _line: None)
    made._publisher = Publisher([], 15.0)
    made._session = SimpleNamespace(summary=report)
    return cast(service.Agent, made)


def test_a_unit_that_restarts_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cgroup is another one at the same path. While there is none, or it is the same, recording goes on."""
    monkeypatch.setattr(service, "_CGROUP_S", 0.0)
    there: list[tuple[int, int]] = [(41, 2)]

    def find(path: str) -> tuple[tuple[int, int], str]:
        if not there:
            raise cgroups.NoCgroup("no such cgroup")
        return there[0], path

    monkeypatch.setattr(cgroups, "find", find)
    agent = _agent(Settings(REQUEST))
    agent._looked(TICK)
    there.clear()
    agent._looked(TICK)
    assert not agent._stop.reopens
    there.append((77, 2))
    agent._looked(TICK)
    assert agent._stop.reopens
    assert agent._settings.request.scope == replace(UNIT, cgroup=(77, 2))


def test_a_configuration_is_taken_over_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket could be had, its address for metrics could not: both stay as they were."""

    def opened(settings: Settings) -> list[Any]:
        if settings.metrics:
            raise ClosetraceError("Address already in use")
        return []

    listening: list[tuple[str, str]] = []
    monkeypatch.setattr(service, "open_exporters", opened)
    agent = _agent(Settings(REQUEST))
    monkeypatch.setattr(agent, "_listen_at", lambda to, _before: listening.append((to.socket, to.group)))
    wrong = Settings(REQUEST, socket="/run/other.sock", group="adm", every_s=1.0, metrics="127.0.0.1:80")
    with pytest.raises(ClosetraceError, match="in use"):
        agent._change(wrong)
    assert listening == [("/run/other.sock", "adm"), (Settings(REQUEST).socket, "")]
    assert agent._settings == Settings(REQUEST)
    assert agent._publisher.every_s == 15.0
