"""closetrace, started after the sockets had begun to linger, tells who holds them."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.lineage.programs import Holders, holders
from tests.live.closetrace_command import SLOW, Trace, let_linger, run_closetrace
from tests.live.oracles import ss_close_wait
from tests.live.peers import serving
from tests.systems.jvm import find_jdk

pytestmark = pytest.mark.ci

_LOOK = ("--linger", "1", "--duration", "3")


def hanging_up() -> contextlib.AbstractContextManager[int]:
    """A server that hangs up on every connection at once."""
    return serving(socket.socket.close)


@pytest.fixture
def leaking() -> Iterator[Holders]:
    """A program all of whose sockets are in CLOSE_WAIT before anybody looks."""
    with hanging_up() as port, holders(find_jdk(17), ("-XX:+UseG1GC",), port) as program:
        assert len(ss_close_wait({program.jvm.pid})) == len(program.kinds)
        yield program


def test_older_sockets_have_their_holders_in_json(leaking: Holders) -> None:
    """Each socket, by its port, with the chain that the program says."""
    report = run_closetrace("--pid", str(leaking.jvm.pid), *_LOOK, "--json").report()
    (look,) = report["heaps"]
    assert (look["pid"], look["collector"], look["note"]) == (leaking.jvm.pid, "G1", None)
    told: dict[str, set[str]] = {}
    for site in report["sites"]:
        for one in site["sockets"]:
            port = int(one["local"].rsplit(":", 1)[1])
            told.setdefault(leaking.kinds[port], set()).add(site["held_by"][one["held_by"]]["text"])
    session = "Holders$Registry$Session.sock"
    assert told["map"] == {f"{session} <- Holders$Registry.sessions <- static com.acme.Holders$Registry.INSTANCE"}
    assert told["channel"] == {"static com.acme.Holders$Channels.open"}
    assert told["thread"] == {f'{session} <- Holders$Worker.mine <- thread "order-worker"'}
    assert set(told) == set(leaking.kinds.values())


def test_the_report_names_them_and_the_table_the_place(leaking: Holders) -> None:
    """Those that are held alike are one line."""
    out = run_closetrace("--pid", str(leaking.jvm.pid), *_LOOK).out
    assert "held now by:" in out
    assert "three: Holders$Registry$Session.sock <- Holders$Registry.sessions" in out
    assert "Channels.open" in out.split("site 1:")[0]  # cut on its left where the terminal is narrow


def test_nothing_is_looked_at_with_no_lineage(leaking: Holders) -> None:
    """Not even at its end."""
    report = run_closetrace("--pid", str(leaking.jvm.pid), *_LOOK, "--json", "--no-lineage").report()
    assert report["heaps"] == []
    assert all(site["held_by"] == [] for site in report["sites"])


def test_ctrl_c_ends_with_what_was_found(leaking: Holders) -> None:
    """The look is over by then, and the report does not wait for another."""
    with Trace("--pid", str(leaking.jvm.pid), "--linger", "1", "--verbose") as trace:
        trace.attached().until(lambda: "sockets looked for in" in trace.err(), "a look")
        let_linger()
        began = time.monotonic()
        out = trace.stop(signal.SIGINT).out
        took = time.monotonic() - began
    assert "three: Holders$Registry$Session.sock <- Holders$Registry.sessions" in out
    assert took < 3 * SLOW
