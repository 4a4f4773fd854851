"""From a record to a connection: what the kernel side cannot know is put right on this one way."""

from __future__ import annotations

from typing import Callable, Optional

import pytest

from tests.unit.session.offers import as_older, as_recorder, as_service
from tests.unit.session.recording import Clock, FakeRecorder, FakeService, S, clock, path
from tracer.flight import layout
from tracer.model.connection import Connection, Losses
from tracer.model.states import TcpState
from tracer.session.reading import Reader
from tracer.session.stackstore import StackStore

__all__ = ["clock"]
OLD, HANDED_OVER = 1, 2


class FakePreexisting:
    """One socket that was in CLOSE_WAIT at the start."""

    def is_older(self, connection: Connection) -> bool:
        return connection.cookie == OLD

    def fin_before_ns(self, cookie: int) -> Optional[int]:
        return 77 if cookie == OLD else None

    def crowded_out(self, cookie: int) -> bool:
        return cookie == OLD


@pytest.fixture
def recorder(clock: Clock) -> FakeRecorder:
    made = FakeRecorder()
    for sk, cookie in ((1, OLD), (2, HANDED_OVER)):
        record = made.suspect(sk, 5, clock.now - S, cookie=cookie)
        record.flags = layout.R_ADOPTED
        made.touch(record, "last", clock.now - S, box=sk)
    return made


def reader(recorder: FakeRecorder, unseen: tuple[str, ...] = ()) -> Reader:
    stacks = StackStore(as_recorder(recorder), as_service(FakeService()))
    return Reader(as_recorder(recorder), stacks, as_older(FakePreexisting()), unseen)


def live(recorder: FakeRecorder) -> list[Connection]:
    found = map(reader(recorder).suspect, recorder.suspects())
    return [connection for connection in found if connection is not None]


def over(recorder: FakeRecorder) -> list[Connection]:
    for sk in list(recorder.records):
        recorder.end(sk)
    return list(reader(recorder).endings())


@pytest.mark.parametrize("way", [live, over])
def test_only_what_was_there_at_the_start_is_older(
    recorder: FakeRecorder, way: Callable[[FakeRecorder], list[Connection]]
) -> None:
    """A socket that another process handed over was met in mid life, too."""
    found = {connection.cookie: connection for connection in way(recorder)}
    assert {cookie: c.preexisting for cookie, c in found.items()} == {OLD: True, HANDED_OVER: False}
    assert {cookie: c.fin_before_ns for cookie, c in found.items()} == {OLD: 77, HANDED_OVER: None}
    assert [c.ended_ns is not None for c in found.values()] == [way is over] * 2
    assert all(c.last is not None and path(c.last.stack) == "leaky" for c in found.values())
    assert sorted(recorder.freed) == [1, 2]


def test_a_socket_that_found_no_record_may_be_newer(recorder: FakeRecorder) -> None:
    """Where records ran out, one that has none from its beginning on need not be older than the trace."""
    assert [c.crowded_out for c in live(recorder)] == [False, False]
    recorder.lost = Losses(records=1)
    found = {connection.cookie: connection for connection in live(recorder)}
    assert {cookie: c.crowded_out for cookie, c in found.items()} == {OLD: True, HANDED_OVER: False}


def test_a_record_is_only_taken_for_the_suspect_of_its_birth(recorder: FakeRecorder) -> None:
    """The address serves another socket by the time its record is read: nothing is told, no box is touched."""
    entries = recorder.suspects()
    recorder.records[1].birth_ns += 1
    del recorder.records[2]
    assert [reader(recorder).suspect(entry) for entry in entries] == [None, None]
    assert recorder.freed == []


def test_what_no_hook_shows_is_said_of_every_connection(recorder: FakeRecorder) -> None:
    """On a kernel without a hook for receive, that none was seen proves nothing."""
    (entry, _) = recorder.suspects()
    blind = reader(recorder, unseen=("receive",))
    found = blind.suspect(entry)
    recorder.end(entry.sk)
    (ended,) = blind.endings()
    assert found is not None
    assert found.state is ended.state is TcpState.CLOSE_WAIT
    assert found.unseen == ended.unseen == ("receive",)
