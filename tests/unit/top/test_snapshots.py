"""Where the reports of the screen come from: how often, and what an agent's answer becomes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

import pytest

from tests.unit.builders import connection, report
from tracer.agent.asking import NoAgent, NotAnswered
from tracer.agent.listener import Answer, Listener
from tracer.agent.place import Place
from tracer.agent.protocol import About, Question, Refusal
from tracer.model.finding import Report
from tracer.model.scope import Scope
from tracer.reports.json.reading.fields import BadReport
from tracer.reports.json.report import to_text
from tracer.session.stopping import Stop
from tracer.top.snapshots import AgentSource, Pace

QUESTION = Question("report", Scope(pids=(1,)), "init", 10_000_000_000, as_json=True)


def test_reports_take_a_twentieth_of_the_time() -> None:
    """The next is due after two seconds, or after twenty times what the last took."""
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.wait_s() == 0
    pace.took(0.001)
    assert pace.wait_s() == 2
    pace.took(3.0)
    assert pace.wait_s() == pytest.approx(60)
    now[0] += 61
    assert pace.wait_s() == 0


class Ends(Stop):
    """A run that is over when it is told so; it has no signals."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    @property
    def asked(self) -> bool:
        return self.ended.is_set()

    def over(self) -> bool:
        return self.ended.is_set()

    def wait(self, seconds: float, _wakes: Optional[int] = None) -> bool:
        self.ended.wait(min(seconds, 0.01))
        return False


@dataclass
class Screen:
    """What a screen was given. It ends the run with the third thing."""

    ends: Ends
    reports: list[Report] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    wanted = True

    def take(self, one: Report) -> None:
        self.reports.append(one)
        self._check()

    def say(self, text: str) -> None:
        self.remarks.append(text)
        self._check()

    def _check(self) -> None:
        if len(self.reports) + len(self.remarks) >= 3:
            self.ends.ended.set()


class Agent:
    """A listener that answers with ``text`` or a refusal, in a thread."""

    def __init__(self, path: Path, said: Union[str, Refusal]) -> None:
        self.said = said
        self._ends = threading.Event()
        self._listener = Listener(Place(str(path), ""), lambda: 1.7e9, self._answer)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _answer(self, question: Question) -> Union[Answer, Refusal]:
        assert question.as_json
        return self.said if isinstance(self.said, Refusal) else (About(1), iter([self.said]))

    def _serve(self) -> None:
        while not self._ends.is_set():
            self._listener.serve(0.01)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path / "agent.sock", "".join(to_text(report(connection()))))
    yield made
    made.close()


@pytest.mark.root
def test_agent_is_asked_again(agent: Agent, tmp_path: Path) -> None:
    """Its first answer is shown at once, and the next when it is due."""
    ends = Ends()
    source = AgentSource(str(tmp_path / "agent.sock"), QUESTION, ends)
    screen = Screen(ends)
    source.run(screen)
    assert [one.sites[0].count for one in screen.reports] == [1, 1]
    assert screen.remarks == [""]


@pytest.mark.root
def test_agent_that_is_of_no_help_later(agent: Agent, tmp_path: Path) -> None:
    """That is a remark, and it is asked again."""
    ends = Ends()
    source = AgentSource(str(tmp_path / "agent.sock"), QUESTION, ends)
    agent.said = Refusal("busy", "it has too much to do")
    screen = Screen(ends)
    source.run(screen)
    assert len(screen.reports) == 1
    assert screen.remarks == ["the agent is no help: it has too much to do"] * 2


@pytest.mark.root
@pytest.mark.parametrize(
    ("said", "error"),
    [(Refusal("scope", "not recorded"), NotAnswered), ("{}", BadReport), ("", BadReport)],
)
def test_agent_that_is_of_no_help(
    agent: Agent, tmp_path: Path, said: Union[str, Refusal], error: type[Exception]
) -> None:
    """At the first question that is an error: a trace can begin in its place."""
    agent.said = said
    with pytest.raises(error):
        AgentSource(str(tmp_path / "agent.sock"), QUESTION, Ends())


def test_no_agent(tmp_path: Path) -> None:
    """That is told apart from an agent that does not help."""
    with pytest.raises(NoAgent):
        AgentSource(str(tmp_path / "none.sock"), QUESTION, Ends())
