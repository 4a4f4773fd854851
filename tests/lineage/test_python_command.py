"""closetrace, started after a Python's sockets had begun to linger, tells who holds them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lineage.pythons import Program, python, running
from tests.lineage.test_command import hanging_up
from tests.live.closetrace_command import run_closetrace
from tests.live.oracles import ss_close_wait

_LOOK = ("--linger", "1", "--duration", "3")


@pytest.fixture
def leaking() -> Iterator[Program]:
    """A program nearly all of whose sockets are in CLOSE_WAIT before anybody looks."""
    with hanging_up() as port, running(python(11), "holders.py", port, "0") as program:
        assert len(ss_close_wait({program.pid})) > len(program.kinds) - 3
        yield program


def test_older_sockets_have_their_holders_in_json(leaking: Program) -> None:
    """Each socket leads to the chain that the program says."""
    report = run_closetrace("--pid", str(leaking.pid), *_LOOK, "--json").report()
    (look,) = report["heaps"]
    assert (look["pid"], look["collector"], look["note"]) == (leaking.pid, "CPython 3.11", None)
    told: dict[str, str] = {}
    verdicts: dict[str, str] = {}
    for site in report["sites"]:
        for one in site["sockets"]:
            port = int(one["local"].rsplit(":", 1)[1])
            told[leaking.kinds[port]] = site["held_by"][one["held_by"]]["text"]
            verdicts[leaking.kinds[port]] = site["verdict"]
    assert [kind for kind, verdict in verdicts.items() if verdict == "lost"] == ["garbage"]
    assert told["queue"] == "Session.sock <- LifoQueue.queue <- Registry.pool <- module __main__: registry"
    assert told["list"] == "module __main__: many"
    assert told["variable"].startswith("local variable conn of work (holders.py:")
    assert told["generator"].endswith("of produce (holders.py:95) <- module __main__: produced")


def test_the_report_names_them_and_the_table_the_place(leaking: Program) -> None:
    """People get the chain, and in the table the program's own place."""
    out = run_closetrace("--pid", str(leaking.pid), *_LOOK).out
    assert "held now by:" in out
    assert "Session.sock <- Registry.sessions <- module __main__: registry" in out
    assert "held by Slotted.conn" in out
