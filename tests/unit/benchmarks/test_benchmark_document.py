"""The tables of docs/overhead.md say what a benchmark's results say; what was not run stays as it is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tests.benchmarks import (
    document,
    document_tables,
    effort,
    figures,
    interpreted,
    measure,
    tracers,
    traffic,
)
from tests.benchmarks.figures import Figures


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": median, "high": median, "n": 1}


def results(**rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "machine": {"kernel": "6.1", "cpus": 2, "load": [0.5, 0, 0], "at": "2026-01-02 03:04:05"},
        "effort": {"turns": 3},
        "noise": {"median": 100.0, "low": 98.0, "high": 102.0, "n": 12},
        "missing_peers": {},
        "failed": {},
        "rows": rows,
    }


def hook(tracer: str, ns: float) -> dict[str, Any]:
    return {"tracer": tracer, "depth": 40, "sockets": 1, "ns_per_run": spread(ns)}


def test_a_ratio_is_that_of_the_two_medians() -> None:
    """And a peer that was not run has a dash."""
    _, make = document_tables.HOST["hooks"]
    table = make(results(touch=[hook("closetrace", 600), hook("bpftrace ustack", 4000), hook("empty program", 50)]))
    assert table.splitlines()[-1] == "| 40, one | 50 | 600 | 4,000 | - | 0.15 | - |"


def test_a_loss_is_told_with_how_sure_it_is() -> None:
    """Untraced runs are held against the ones before them."""
    _, make = document_tables.HOST["loss"]
    row = {"tracer": "closetrace", "us_more": spread(9.25), "share_of_untraced": spread(0.931)}
    again = {"tracer": tracers.AGAIN.name, "us_more": spread(0.04), "share_of_untraced": spread(1.002)}
    lines = make(results(loss=[again, row])).splitlines()[2:]
    assert lines == [
        "| untraced, of the run before | 0.04 (0.04 to 0.04) | 100.2 % (100.2 % to 100.2 %) | 1 |",
        "| closetrace | 9.25 (9.25 to 9.25) | 93.1 % (93.1 % to 93.1 %) | 1 |",
    ]


@pytest.mark.parametrize("count", [1, 5, 40, 41, 200])
def test_the_middle_of_endless_many_runs_lies_between_two_ranks(count: int) -> None:
    """Oracle: the binomial distribution. Each value is above the true median with probability one half."""
    found = measure.middle([float(rank) for rank in range(count)])
    low, high = int(found["low"]), int(found["high"])
    beyond = sum(math.comb(count, below) for below in range(count + 1) if not low < below <= high) / 2**count
    assert found["median"] == (count - 1) / 2
    assert beyond < 0.05 or (low, high) == (0, count - 1)


def test_frames_are_held_against_the_same_touches_without_them() -> None:
    """A native program has no figure of bpftrace and no C stack that is told."""
    _, make = document_tables.HOST["interpreted"]
    ours = {"tracer": "closetrace", "work": interpreted.NATIVE, "ns_per_run": spread(500)}
    without = {"tracer": interpreted.WITHOUT, "work": interpreted.NATIVE, "ns_per_run": spread(400)}
    table = make(results(interpreted=[ours, without]))
    assert table.splitlines()[-1] == "| C, 40 callers | - | 400 | 500 | 1.25 | - |"


def test_what_was_not_run_stays() -> None:
    """One row's tables are renewed; the others keep the figures that they had; twice is as once."""
    before = document.DOCUMENT.read_text(encoding="utf-8")
    after = document.renewed(before, results(touch=[hook("closetrace", 123_456)]), "host")
    assert "123,456" in after
    assert after.partition("end of java hooks")[2].partition("## Connections")[2] in before
    assert document.renewed(after, results(touch=[hook("closetrace", 123_456)]), "host") == after


def test_every_table_has_its_place() -> None:
    """No figure is made that nobody reads."""
    text = document.DOCUMENT.read_text(encoding="utf-8")
    for name in (*document_tables.HOST, *document_tables.GUEST, "goals", "host conditions", "guest conditions"):
        assert f"<!-- end of {name} -->" in text


def test_shares_are_of_both_untraced_runs_of_the_turn() -> None:
    """The second untraced run's is of the first: that is the noise."""
    values_of = Figures("tracer")
    for tracer, values in (("nothing", (100, 200)), ("nothing, again", (80, 200)), ("closetrace", (45, 150))):
        values_of.at(tracer)["calls"] += values
    values_of.compare("calls")
    shares = {row["tracer"]: row.get("share_of_untraced", {}) for row in values_of.rows()}
    assert not shares["nothing"]
    assert (shares["nothing, again"]["low"], shares["nothing, again"]["high"]) == (0.8, 1.0)
    assert (shares["closetrace"]["low"], shares["closetrace"]["high"]) == (0.5, 0.75)


@pytest.mark.parametrize(
    ("tracer", "out"),
    [
        (
            tracers.closetrace("tail"),
            b"TIME OLD -> NEW\n1 A -> B local\n-- 1,200 transitions lost --\n2 B -> C peer\n-- 1 transition lost --\n"
            b"-- 2 transitions shown, 1201 lost --\n",
        ),
        (
            tracers.closetrace("tail", "--json"),
            b'{"event": "transition"}\n{"event": "loss", "transitions": 1201}\n{"event": "transition"}\n'
            b'{"event": "total", "transitions": 2, "lost": 1201}\n',
        ),
    ],
    ids=["text", "JSON"],
)
def test_shown_and_lost_are_read_off_the_output(tracer: tracers.Tracer, out: bytes) -> None:
    """The header is no transition, and losses add up."""
    counts = traffic._tail_counts(tracer, tracers.Ended(0, out, "", 0.0, 0.0, 0))
    assert (counts.shown, counts.lost) == (2, 1201)


@pytest.mark.parametrize(("limit_s", "runs", "why"), [(60.0, 3, "/nonexistent"), (0.0, 1, "no time")])
def test_the_first_turn_is_always_taken(limit_s: float, runs: int, why: str) -> None:
    """And no other that would end too late; a peer that does not start is left out with its reason."""
    absent = tracers.Tracer("absent", ("/nonexistent",))
    size = dataclasses.replace(effort.FULL, row_limit_s=limit_s)
    taken = [running.tracer for running in figures.by_turns("row", 3, (tracers.NOTHING, absent), size)]
    assert taken == [tracers.NOTHING] * runs
    assert why in figures.MISSING.pop("absent")


def test_a_total_that_does_not_add_up_fails_the_row() -> None:
    """The tool's own last line is held against its lines."""
    out = b"TIME OLD -> NEW\n1 A -> B local\n-- 2 transitions shown, 0 lost --\n"
    with pytest.raises(RuntimeError, match="says at its end"):
        traffic._tail_counts(tracers.closetrace("tail"), tracers.Ended(0, out, "", 0.0, 0.0, 0))
