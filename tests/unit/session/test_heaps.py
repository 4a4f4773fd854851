"""When heaps are looked at, and what is remembered of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Optional

import pytest

from tests.unit.builders import actor, connection
from tests.unit.diagnose.test_held import LEASED, OLDER
from tracer.model.connection import Connection, Holder
from tracer.model.holder import Held, Limits, Lineage, Missing, SocketAt
from tracer.session import heaps as module
from tracer.session.heaps import ASKED, BY_ITSELF, Heaps
from tracer.stacks.target.process import Process


def socket(serial: int, *, fd: int, seen: bool = False) -> Connection:
    """A socket of this process: older than the trace, or one that a call was seen on."""
    mine = (Holder(os.getpid(), fd, "python"),)
    plain = connection(serial, holders=mine)
    return replace(plain, **{**OLDER, "holders": mine}) if not seen else plain


class Asked:
    """Answers with what it is told to, and keeps what it was asked."""

    def __init__(self, *answers: Held) -> None:
        self.answers = list(answers)
        self.questions: list[tuple[list[SocketAt], Limits]] = []

    def __call__(
        self, process: Process, wanted: Sequence[SocketAt], limits: Limits, meanwhile: Callable[[], object]
    ) -> Held:
        assert process.pid == os.getpid()
        self.questions.append((list(wanted), limits))
        meanwhile()
        return self.answers.pop(0)


class Everything(dict[int, tuple[int, ...]]):
    """Descriptors by inode: any socket has any number."""

    def get(self, _inode: int, _default: object = None) -> tuple[int, ...]:
        return tuple(range(100))


EVERYTHING = Everything()


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets of the tests are none of this process."""
    monkeypatch.setattr(module, "sockets_of", lambda _pid: EVERYTHING)
    monkeypatch.setattr(module, "waits", lambda _pid, fd: fd == 4)


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**15

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def held(*fds: int, missing: Optional[Missing] = None) -> Held:
    if missing is not None:
        return Held(tuple(Lineage(fd, missing=missing) for fd in fds))
    return Held(tuple(replace(LEASED, fd=fd) for fd in fds))


def test_older_sockets_are_looked_for_and_others_are_not(clock: Clock) -> None:
    """By their descriptors, ports and blocking modes, within the smaller limits."""
    ask = Asked(held(4))
    old, seen = socket(1, fd=4), socket(2, fd=5, seen=True)
    told = Heaps(ask, None, lambda: False, lambda: None).told([old, seen])
    assert [c.lineage for c in told] == [replace(LEASED, fd=4), None]
    assert ask.questions == [([SocketAt(4, old.local.port, old.remote.port, waits=True)], BY_ITSELF)]


def test_with_lineage_all_are_looked_for(clock: Clock) -> None:
    """Within the larger limits."""
    ask = Asked(held(4, 5))
    told = Heaps(ask, True, lambda: False, lambda: None).told([socket(1, fd=4), socket(2, fd=5, seen=True)])
    assert all(c.lineage is not None for c in told)
    assert ask.questions[0][1] == ASKED


def test_without_lineage_none_is(clock: Clock) -> None:
    """The connections stay as they are."""
    old = socket(1, fd=4)
    assert Heaps(Asked(), False, lambda: False, lambda: None).told([old]) == [old]


def test_what_is_known_is_not_asked_again_and_a_process_rests(clock: Clock) -> None:
    """New sockets wait until it has rested."""
    ask = Asked(held(4), held(4, 5))
    heaps = Heaps(ask, None, lambda: False, lambda: None)
    heaps.told([socket(1, fd=4)])
    heaps.told([socket(1, fd=4)])
    (_, fresh) = heaps.told([socket(1, fd=4), socket(2, fd=5)])
    assert (len(ask.questions), fresh.lineage) == (1, None)
    clock.now_ns += 11 * 10**9
    (_, fresh) = heaps.told([socket(1, fd=4), socket(2, fd=5)])
    assert (len(ask.questions), fresh.lineage) == (2, replace(LEASED, fd=5))


def test_the_report_asks_once_more_where_it_was_asked_for(clock: Clock) -> None:
    """What moved then stays as it was known."""
    ask = Asked(held(4), held(4, missing=Missing.MOVED), held(4, missing=Missing.UNFOUND))
    heaps = Heaps(ask, True, lambda: False, lambda: None)
    heaps.told([socket(1, fd=4)])
    (moved,) = heaps.told([socket(1, fd=4)], at_end=True)
    assert moved.lineage == replace(LEASED, fd=4)  # it may well be as it was
    (unfound,) = heaps.told([socket(1, fd=4)], at_end=True)
    assert unfound.lineage == Lineage(4, missing=Missing.UNFOUND)


def test_another_socket_with_the_same_number_is_another(clock: Clock) -> None:
    """The inode tells."""
    ask = Asked(held(4), held(4, missing=Missing.NO_OBJECT))
    heaps = Heaps(ask, None, lambda: False, lambda: None)
    heaps.told([socket(1, fd=4)])
    clock.now_ns += 11 * 10**9
    (other,) = heaps.told([socket(9, fd=4)])
    assert other.lineage == Lineage(4, missing=Missing.NO_OBJECT)


def test_what_the_owner_holds_comes_first(clock: Clock) -> None:
    """Of several holders the one that used it last: there the descriptor is somebody's object."""
    ask = Asked(held(6))
    mine = replace(socket(1, fd=6, seen=True), last=None, opened=None)
    other = (Holder(1, 3, "init"), *mine.holders)
    owned = replace(socket(1, fd=6, seen=True), holders=other)
    assert owned.last is not None
    owned = replace(owned, last=replace(owned.last, actor=actor(os.getpid())))
    Heaps(ask, True, lambda: False, lambda: None).told([owned])
    assert ask.questions[0][0][0].fd == 6


def test_notes_are_kept_while_something_is_missing(clock: Clock) -> None:
    """With the number of sockets that they are about."""
    heaps = Heaps(Asked(Held(note="its collector is ZGC")), None, lambda: False, lambda: None)
    heaps.told([socket(1, fd=4)])
    (look,) = heaps.looks()
    assert (look.pid, look.sockets, look.found, look.note) == (os.getpid(), 1, 0, "its collector is ZGC")


def test_a_process_without_such_a_heap_is_no_look(clock: Clock) -> None:
    """Nothing is printed of it."""
    heaps = Heaps(Asked(Held()), None, lambda: False, lambda: None)
    heaps.told([socket(1, fd=4)])
    assert heaps.looks() == ()


def test_a_number_that_is_another_sockets_by_then_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python's socket object has no ports, so the kernel is asked again."""
    old = socket(1, fd=4)
    monkeypatch.setattr(module, "sockets_of", lambda _pid: {old.inode + 1: (4,)})
    (told,) = Heaps(Asked(held(4)), True, lambda: False, lambda: None).told([old])
    assert told.lineage is None
