"""What `timeline` prints, on made-up sockets and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

import pytest

from tests.unit.session.hosts_of_plans import PLAN
from tests.unit.session.offers import as_recorder
from tests.unit.session.recording import Clock, FakeRecorder, S, clock
from tracer.flight import layout
from tracer.host.namespaces import Namespaces
from tracer.kernel.source import Sizes, Wanted
from tracer.model.connection import Connection
from tracer.model.scope import Scope
from tracer.session import lives as module
from tracer.session.attached import Attached
from tracer.session.clock import Clock as RunClock
from tracer.session.lives import Lives
from tracer.session.members import Members
from tracer.session.preexisting import Preexisting
from tracer.session.request import Request
from tracer.session.stopping import Stop

__all__ = ["clock"]
HERE = Scope(pids=(1,))


class OneLook(Stop):
    """Over after one interval."""

    def __init__(self) -> None:
        super().__init__(None)
        self._left = 1

    def begin(self) -> None:
        """No signals."""

    def wait(self, seconds: float, _wakes: Optional[int] = None) -> bool:
        self._left -= seconds > 0
        return False

    def over(self) -> bool:
        return self._left < 0


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def lives(recorder: FakeRecorder, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Lives:
    def as_they_are(connections: Iterable[Connection], *_more: object) -> list[Connection]:
        return list(connections)

    monkeypatch.setattr(module, "join", as_they_are)
    namespaces = Namespaces()
    request = Request(HERE, "pid 1", Sizes(1 << 24), Wanted(10 * S, all_endings=True))
    older = Preexisting(HERE, namespaces)
    members = Members(HERE, as_recorder(recorder))
    return Lives(
        Attached(request, as_recorder(recorder), PLAN, members, older, namespaces, RunClock(0.0, 0), request.wanted)
    )


def test_a_socket_that_was_handed_over_is_not_called_older(recorder: FakeRecorder, lives: Lives, clock: Clock) -> None:
    """It was met in mid life, but sock_diag did not list it at the start: so it is younger than the trace."""
    for sk in (1, 2):
        recorder.suspect(sk, clock.now - 30 * S, clock.now - 20 * S, cookie=1000 + sk).flags = layout.R_ADOPTED
    recorder.end(2)
    told = list(lives.until(OneLook()))
    assert {c.sk: c.ended_ns is not None for c in told} == {1: False, 2: True}
    assert [c.preexisting for c in told] == [False, False]


def test_a_lingering_socket_is_told_once_and_again_at_its_end(
    recorder: FakeRecorder, lives: Lives, clock: Clock
) -> None:
    """Two looks at the same socket are one block; its end is another."""
    recorder.suspect(1, clock.now - 30 * S, clock.now - 20 * S)
    assert [c.ended_ns for c in lives.until(OneLook())] == [None]
    recorder.end(1)
    (over,) = lives.until(OneLook())
    assert over.ended_ns is not None
