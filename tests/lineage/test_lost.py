"""That nothing refers to a socket is said only of those that the program has lost, and only if that is certain.

Oracle: the program, by local ports. Others it holds in ways that no chain tells, or hands on all the time.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Callable

import pytest

from tests.lineage.programs import Holders, holders
from tests.lineage.test_chains import nothing
from tests.systems.jvm import find_jdk
from tracer.model.holder import LOST, Held, Limits, Missing, SocketAt
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.languages.java.heap import reach
from tracer.stacks.registry import heap_of
from tracer.stacks.target.process import Process

_JDKS = tuple(map(int, os.environ.get("CLOSETRACE_JDKS", "17").split()))
_VERDICTS = int(os.environ.get("CLOSETRACE_TEST_VERDICTS", "500"))
_IS_LOST = {"lost": Missing.UNREACHABLE, "lost-channel": Missing.ABANDONED}
_PATIENCE_S = 120
_YOUNG = ("-Xmx128m", "-Xmn8m", "-XX:-G1UseAdaptiveIHOP", "-XX:InitiatingHeapOccupancyPercent=99")
"""A young collection comes every second or so with a slow churn. What is lost is old by then, and is not collected."""


Look = Callable[[list[SocketAt]], Held]


def said(program: Holders, look: Look) -> Counter[tuple[str, object]]:
    """How often what is said of each kind."""
    wanted = program.wanted()
    lineages = look(wanted).lineages
    return Counter((program.kind(wanted, one), one.missing if one.missing in LOST else None) for one in lineages)


def assert_never_wrong(seen: Counter[tuple[str, object]]) -> None:
    """What is held is never said to be lost, and what is lost is said to be of the right kind."""
    assert {key for key in seen if key[1] is not None and _IS_LOST.get(key[0]) is not key[1]} == set()


@pytest.mark.parametrize("major", [pytest.param(one, marks=pytest.mark.ci if one == 17 else ()) for one in _JDKS])
def test_what_is_lost_is_told_and_what_is_hidden_is_not(major: int, keeper: Keeper, peer: int) -> None:
    """A method handle, a class loader, a soft or weak reference, a stack from far has it; threads hand it on."""
    with holders(find_jdk(major), ("-XX:+UseG1GC",), peer, "Hidden", ("moving",)) as program:
        process = Process.open(program.jvm.pid)
        seen: Counter[tuple[str, object]] = Counter()
        until = time.monotonic() + _PATIENCE_S
        while not set(_IS_LOST.items()) <= set(seen) and time.monotonic() < until:
            seen += said(program, lambda wanted: keeper.holders(process, wanted, Limits(), nothing))
        process.close()
    assert_never_wrong(seen)
    assert set(_IS_LOST.items()) <= set(seen)
    assert {kind for kind, _ in seen} >= {"bound", "loader", "soft", "weak", "mapped", "deep", "round", "handed"}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("collector", ["G1", "Parallel", "Serial"])
def test_what_is_held_is_never_lost_while_objects_move(
    collector: str, keeper: Keeper, peer: int, tmp_path: Path
) -> None:
    """Of 500 sockets that are held, under collections; and those that are lost are told once it is calm."""
    log, limits = tmp_path / "gc.log", Limits(seconds=30, scans=6)
    options = (f"-XX:+Use{collector}GC", *_YOUNG, f"-Xlog:gc:file={log}")
    with holders(find_jdk(17), options, peer, "Hidden", ("moving",)) as program:
        process = Process.open(program.jvm.pid)
        program.jvm.say("churn 1")
        program.jvm.until("DONE")
        before = log.read_text().count("Pause ")
        seen: Counter[tuple[str, object]] = Counter()
        while sum(count for (kind, _), count in seen.items() if kind not in _IS_LOST) < _VERDICTS:
            seen += said(program, lambda wanted: keeper.holders(process, wanted, limits, nothing))
        during = log.read_text().count("Pause ") - before
        print(f"{collector}: {dict(seen)}, {during} collections meanwhile")
        assert_never_wrong(seen)
        assert during > 5
        program.jvm.say("calm")
        program.jvm.until("DONE")
        until = time.monotonic() + _PATIENCE_S
        while not set(_IS_LOST.items()) <= set(seen) and time.monotonic() < until:
            seen += said(program, lambda wanted: keeper.holders(process, wanted, limits, nothing))
        process.close()
    assert_never_wrong(seen)
    assert set(_IS_LOST.items()) <= set(seen)


def looked(program: Holders, limits: Limits) -> Counter[tuple[str, object]]:
    """A look from within this process."""
    process = Process.open(program.jvm.pid)
    look = heap_of(process)
    assert look is not None
    seen = said(program, lambda wanted: look(wanted, limits))
    process.close()
    return seen


@pytest.mark.ci
def test_without_one_of_the_conditions_nothing_is_said(peer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One scan alone; too many objects, too many elements; a thread that is never at rest."""
    with holders(find_jdk(17), ("-XX:+UseG1GC",), peer, "Hidden") as program:
        until = time.monotonic() + _PATIENCE_S
        while not set(_IS_LOST.items()) <= set(looked(program, Limits())):
            assert time.monotonic() < until
        assert not set(_IS_LOST.items()) & set(looked(program, Limits(scans=1)))
        for limit in ("_MORE_READ", "_MORE_ELEMENTS"):
            with monkeypatch.context() as patched:
                patched.setattr(reach, limit, -2_000_000)
                assert not set(_IS_LOST.items()) & set(looked(program, Limits()))
        program.jvm.say("spin")
        program.jvm.until("DONE")
        assert not set(_IS_LOST.items()) & set(looked(program, Limits()))
