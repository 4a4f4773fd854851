"""Oracle: the program itself, which says by local port how it holds each socket. On every JDK, with every collector."""

from __future__ import annotations

import os

import pytest

from tests.lineage.programs import TRUTH, holders, is_true
from tests.systems.jvm import find_jdk
from tracer.model.holder import Limits, Missing
from tracer.stacks.jail.keeper import Keeper
from tracer.stacks.target.process import Process

_JDKS = tuple(map(int, os.environ.get("CLOSETRACE_JDKS", "17").split()))
_IN_CI = {(17, "G1"), (17, "Parallel"), (25, "G1"), (25, "Parallel")}
_FORMS = {
    "compressed": (),
    "full-oops": ("-XX:-UseCompressedOops",),
    "full-classes": ("-XX:-UseCompressedClassPointers",),
    "compact-headers": ("-XX:+UnlockExperimentalVMOptions", "-XX:+UseCompactObjectHeaders"),
}
_ROUNDS = 3


def nothing() -> None:
    """While a look goes on there is nothing else to do."""


def assert_true(keeper: Keeper, major: int, options: tuple[str, ...], peer: int, collector: str) -> None:
    """All chains are as the program says, each time; what nothing holds is said to be held by nothing."""
    with holders(find_jdk(major), options, peer) as program:
        process = Process.open(program.jvm.pid)
        try:
            for _ in range(_ROUNDS):
                wanted = program.wanted()
                held = keeper.holders(process, wanted, Limits(), nothing)
                assert (held.note, held.collector) == ("", collector)
                kinds = [program.kind(wanted, lineage) for lineage in held.lineages]
                assert set(kinds) == set(TRUTH)
                false = [(k, one) for k, one in zip(kinds, held.lineages) if not is_true(k, one)]
                assert not false
                lost = {one.missing for kind, one in zip(kinds, held.lineages) if kind == "garbage"}
                assert lost == {Missing.UNREACHABLE}
        finally:
            process.close()


@pytest.mark.parametrize(
    ("major", "collector"),
    [
        pytest.param(major, collector, marks=pytest.mark.ci if (major, collector) in _IN_CI else ())
        for major in _JDKS
        for collector in ("G1", "Parallel", "Serial")
    ],
)
def test_every_socket_has_its_holder(major: int, collector: str, keeper: Keeper, peer: int) -> None:
    """Of each kind of holder, with each collector; and what nothing holds is held by nothing."""
    assert_true(keeper, major, (f"-XX:+Use{collector}GC",), peer, collector)


@pytest.mark.parametrize("form", ["full-oops", "full-classes", "compact-headers"])
@pytest.mark.parametrize("major", _JDKS)
def test_however_references_are_stored(major: int, form: str, keeper: Keeper, peer: int) -> None:
    """Full references, full class pointers, and headers that have the class in the mark."""
    if form == "compact-headers" and major < 25:
        form = "compressed"  # JEP 450 came with JDK 24: the usual form once more
    assert_true(keeper, major, (*_FORMS[form], "-XX:+UseG1GC"), peer, "G1")


@pytest.mark.ci
@pytest.mark.parametrize("collector", ["Z", "Shenandoah"])
def test_a_collector_that_moves_objects_meanwhile_is_refused(collector: str, keeper: Keeper, peer: int) -> None:
    """In words, and no chain is given."""
    with holders(find_jdk(17), (f"-XX:+Use{collector}GC",), peer) as program:
        process = Process.open(program.jvm.pid)
        held = keeper.holders(process, program.wanted(), Limits(), nothing)
        process.close()
    assert held.lineages == ()
    assert "moves objects while the program runs" in held.note
