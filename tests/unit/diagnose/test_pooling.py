"""Oracle: the libraries' own units and floors, as tests/advice has tried them."""

from __future__ import annotations

import re

import pytest

from tests.advice.cells import CELLS
from tests.unit.builders import connection, judged
from tracer.diagnose import pooling
from tracer.diagnose.advice import advise
from tracer.diagnose.libraries import CLIENTS
from tracer.diagnose.library import Library, Setting
from tracer.diagnose.texts import site as site_text

S = 1_000_000_000
PARTS = ("notices", "setting", "idle", "release")


def library(name: str) -> Library:
    return next(one for one in CLIENTS if one.name == name)


@pytest.mark.parametrize(
    ("quiet_s", "share", "value"),
    [(2, 0.9, 1800), (2, 0.5, 1000), (0.05, 0.9, 40), (65, 0.9, 55_000), (65, 0.5, 30_000), (900, 0.9, 780_000)],
)
def test_values_are_round_and_below_the_peers_time(quiet_s: float, share: float, value: int) -> None:
    """A whole number of milliseconds, below the peer's time by a margin, that a person would write."""
    assert Setting("", share=share).value_ms(int(quiet_s * S)) == value


def test_no_value_below_what_the_library_takes() -> None:
    """Where the peer's time is below the least, that is said, with what to do then, and no value is given."""
    told = " ".join(pooling.advice(library("HikariCP"), 2 * S))
    assert "The peer waits only 2.0 s, and HikariCP takes no limit below 30 s" in told
    assert "raise the peer's limit" in told
    assert not re.search(r"setMaxLifetime\(\d", told)
    assert "setMaxLifetime(35000)" in " ".join(pooling.advice(library("HikariCP"), 40 * S))


def test_unknown_time_of_the_peer() -> None:
    """Where the peer's time is not known the setting is named with its unit and its least."""
    told = " ".join(pooling.advice(library("HikariCP"), None))
    assert "setMaxLifetime(N), with N milliseconds below the peer's limit, at least 30000" in told


def test_without_a_library() -> None:
    """A pool of which nothing is known: the peer's time and a limit below it."""
    (told,) = pooling.advice(None, 65 * S)
    assert "it waits 65.0 s; a limit of 55 s would do" in told


def test_library_without_a_limit() -> None:
    """What the program must do itself, and no limit that the library has not got."""
    told = " ".join(pooling.advice(library("requests"), 2 * S))
    assert "session.close()" in told
    assert "would do" not in told
    assert "closing the response" in told


@pytest.mark.parametrize("one", [one for one in CLIENTS if one.release], ids=lambda one: one.name)
@pytest.mark.parametrize("never_reused", [False, True])
def test_how_to_give_back_is_told_once(one: Library, never_reused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without a pool has one way only: what ends an idle connection is what gives it back."""
    monkeypatch.setattr(site_text, "client_of", lambda *_: one)
    found = judged(connection(1, never_reused=never_reused), connection(2, never_reused=never_reused))
    for verdict in {one.verdict for one in found}:
        said = " ".join(advise(verdict, found, None, None)[1])
        assert said.count(one.release) == 1, said
    assert " ".join(pooling.perhaps([one], "it")).count(one.release) == 1


def test_library_that_notices() -> None:
    """An idle connection is not what stays there: which ones do, and how they are given back."""
    told = " ".join(pooling.advice(library("Go's net/http"), 2 * S))
    assert "an idle connection is closed when the peer hangs up" in told
    assert "response was not read to its end or closed" in told
    assert "resp.Body.Close()" in told


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
@pytest.mark.parametrize("quiet_ns", [None, S // 2, 65 * S])
def test_whole_sentences(one: Library, quiet_ns: int | None) -> None:
    """Each library gives whole sentences, with no place left open."""
    for sentence in pooling.advice(one, quiet_ns):
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert sentence[0].isupper()
    for sentence in pooling.advice(one, quiet_ns, is_released=False):
        assert sentence[0].isupper()


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
def test_everything_that_is_said_is_tried(one: Library) -> None:
    """A cell of tests/advice tries each part that a library has a text for, and says in which of its modes."""
    said = {part for part in PARTS if getattr(one, part)}
    cells = [cell for cell in CELLS if cell.library == one.name]
    assert {part for cell in cells for part in cell.tries} == said
    for cell in cells:
        assert all(cell.counts[mode] == 0 for mode in cell.tries.values())
