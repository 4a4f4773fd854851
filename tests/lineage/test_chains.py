"""Oracle: the program itself, which says by local port how it holds each socket. On every JDK, with every collector."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lineage.programs import holders, is_true, kinds_of
from tests.systems.jvm import find_jdk
from tests.systems.silent import bytes_then_silence, self_signed, serving
from tracer.model.holder import Limits, Missing, Root, RootKind
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
_UNHELD = {Missing.UNREACHABLE, Missing.UNFOUND}


def nothing() -> None:
    """While a look goes on there is nothing else to do."""


def assert_true(keeper: Keeper, major: int, options: tuple[str, ...], peer: int, collector: str) -> None:
    """All chains are as the program says, each time."""
    with holders(find_jdk(major), options, peer) as program:
        process = Process.open(program.jvm.pid)
        try:
            for _ in range(_ROUNDS):
                wanted = program.wanted()
                held = keeper.holders(process, wanted, Limits(), nothing)
                assert (held.note, held.collector) == ("", collector)
                kinds = [program.kind(wanted, lineage) for lineage in held.lineages]
                assert set(kinds) == kinds_of(major)
                false = [(k, one) for k, one in zip(kinds, held.lineages) if not is_true(k, one)]
                assert not false
                assert {one.missing for kind, one in zip(kinds, held.lineages) if kind == "garbage"} <= _UNHELD
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
    """Of each kind of holder, with each collector."""
    assert_true(keeper, major, (f"-XX:+Use{collector}GC",), peer, collector)


@pytest.mark.parametrize("form", ["full-oops", "full-classes", "compact-headers"])
@pytest.mark.parametrize("major", _JDKS)
def test_however_references_are_stored(major: int, form: str, keeper: Keeper, peer: int) -> None:
    """Full references, full class pointers, and headers that have the class in the mark."""
    if form == "compact-headers" and major < 25:
        form = "compressed"  # JEP 450 came with JDK 24: the usual form once more
    assert_true(keeper, major, (*_FORMS[form], "-XX:+UseG1GC"), peer, "G1")


@pytest.mark.parametrize("major", [major for major in _JDKS if major >= 21])
def test_a_parked_thread_is_found_after_a_collection(major: int, keeper: Keeper, peer: int) -> None:
    """A collection changes the references in its stack to short ones."""
    with holders(find_jdk(major), ("-XX:+UseG1GC",), peer) as program:
        process = Process.open(program.jvm.pid)
        for _ in range(_ROUNDS):
            program.jvm.say("collect")
            program.jvm.until("DONE")
            wanted = program.wanted()
            held = keeper.holders(process, wanted, Limits(), nothing)
            (parked,) = (one for one in held.lineages if program.kind(wanted, one) == "parked")
            assert is_true("parked", parked)
        process.close()


@pytest.mark.parametrize("major", [pytest.param(one, marks=pytest.mark.ci if one == 17 else ()) for one in _JDKS])
def test_tls_sockets_have_their_holders(major: int, keeper: Keeper, tmp_path: Path) -> None:
    """One that is a socket itself, and one over a plain socket, with a real handshake."""
    with serving(bytes_then_silence(1), self_signed(tmp_path)) as port:
        with holders(find_jdk(major), ("-XX:+UseG1GC",), port, "Layered") as program:
            process = Process.open(program.jvm.pid)
            wanted = program.wanted()
            held = keeper.holders(process, wanted, Limits(), nothing)
            process.close()
        told = {program.kind(wanted, one): one for one in held.lineages}
    assert set(told) == {"direct", "over", "lost"}
    for kind in ("direct", "over"):
        assert told[kind].root == Root(RootKind.STATIC, f"com.acme.Layered.{kind}", own=True)
        assert any(link.holder == "sun.security.ssl.SSLSocketImpl" for link in told[kind].links)
    assert told["lost"].missing in _UNHELD


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
