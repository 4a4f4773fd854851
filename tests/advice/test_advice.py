"""Oracle: ss. Each library leaves its sockets in CLOSE_WAIT as the advice supposes, and none once it is followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.advice import servers
from tests.advice.cells import CELLS, PROBLEM, Cell
from tests.advice.led import Led
from tests.advice.peer import Peer
from tests.advice.programs import command
from tests.live.closetrace_command import SLOW, Trace, let_linger, tracing
from tests.live.oracles import ss
from tracer.diagnose.libraries import CLIENTS
from tracer.diagnose.library import Library

_HOLDS_S = 1.0
_INTERPRETED = (".py", ".js", ".mjs", ".rb")
_S = 1_000_000_000


def library_of(cell: Cell) -> Library:
    (library,) = (one for one in CLIENTS if one.name == cell.library)
    return library


def value_of(cell: Cell) -> int:
    """The value in ms that the advice gives for the peer's idle time; 1 s for what has none."""
    setting = library_of(cell).setting
    value = setting.value_ms(cell.idle_s * _S) if setting is not None else 1000
    assert value is not None
    return value


@contextmanager
def peer_of(cell: Cell) -> Iterator[int]:
    """The port of the peer, which hangs up on its own."""
    if cell.peer == "http":
        with Peer(cell.idle_s) as peer:
            yield peer.port
    else:
        with getattr(servers, cell.peer)(cell.idle_s) as port:
            yield port


def until_lingering(programs: list[Led], counts: dict[str, int], limit_s: float) -> None:
    """Waits until each mode has as many lingering sockets as it should, and sees that it stays so.

    The limit is four times what an idle machine needs: a busy one gets there, too.
    """
    end, since = time.monotonic() + 4 * limit_s * SLOW, None
    while since is None or time.monotonic() - since < _HOLDS_S:
        seen = {program.mode: program.lingering(lines) for lines in (ss(),) for program in programs}
        if seen != counts:
            since = None
        elif since is None:
            since = time.monotonic()
        late = since is None and time.monotonic() > end
        assert not late, f"in CLOSE_WAIT by ss: {seen}, expected: {counts}"
        time.sleep(0.1)


def sentence_of(cell: Cell, part: str) -> str:
    """What the report must say of the library."""
    library = library_of(cell)
    if part == "setting":
        assert library.setting is not None
        return library.setting.text.split("{0}")[0]
    return str(getattr(library, part))


def assert_named(cell: Cell, mode: str, trace: Trace) -> None:
    """closetrace counts what ss counts, and says the sentence that was tried."""
    sites: list[dict[str, Any]] = trace.stop().report()["sites"]
    assert sum(site["count"] for site in sites) == cell.counts[mode], sites
    for site in sites:
        told = " ".join([*site["explanation"], site["advice"]])
        assert sentence_of(cell, cell.traced[mode]) in told, (site["verdict"], told)
        assert f"{cell.library}" in told


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=cell.library, marks=pytest.mark.ci if cell.ci else ()) for cell in CELLS]
)
def test_what_is_said_of_a_library(cell: Cell) -> None:
    """With the advice nothing lingers, without it the sockets do: as ss lists them, with the real library."""
    with peer_of(cell) as port, ExitStack() as stack:
        words = command(cell.program)
        programs = [stack.enter_context(Led(words, mode, port, value_of(cell))) for mode in cell.counts]
        for program in programs:
            program.until("ready")
        every = [p for p in programs if p.mode in cell.traced]
        traced = {p.mode: stack.enter_context(tracing(p.pid, "--verbose")) for p in every}
        for trace in traced.values():
            trace.attached()
            if cell.program.endswith(_INTERPRETED):
                trace.until(lambda trace=trace: "has an interpreter" in trace.err(), "the interpreter is known")
        for program in programs:
            program.go()
        for program in programs:
            program.until("done")
        until_lingering(programs, dict(cell.counts), cell.idle_s + cell.limit_s)
        if traced:
            let_linger()
        for mode, trace in traced.items():
            assert_named(cell, mode, trace)


@pytest.mark.ci
def test_hikaricp_refuses_less_than_the_least() -> None:
    """HikariCP replaces a maxLifetime below the least by its default; closetrace gives no such value."""
    setting = next(library for library in CLIENTS if library.name == "HikariCP").setting
    assert setting is not None
    left = {}
    for value in (setting.least_ms - 1, setting.least_ms):
        with Led(command("Hikari.java"), "checked", 9, value) as program:
            program.until("ready")
            program.go()
            left[value] = int(program.until("done"))
    assert left[setting.least_ms] == setting.least_ms
    assert left[setting.least_ms - 1] == 1_800_000
    assert setting.value_ms(2 * _S) is None
    assert setting.value_ms(36 * _S) == setting.least_ms


def test_each_cell_has_a_problem() -> None:
    """A cell in which nothing lingers anyhow would show nothing."""
    assert all(PROBLEM in cell.counts.values() for cell in CELLS)
