"""What a person at a terminal sees of a trace: each site whole, once."""

from __future__ import annotations

import sys

import pytest

from tests.unit.builders import S, connection, report
from tests.unit.cases import EOF_READ
from tracer.model.finding import Shown, Tick
from tracer.reports.text.writers import TextReport


@pytest.mark.parametrize("terminal", [True, False])
def test_what_stands_above_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    """At a terminal a site that was printed and has not changed is a line; one that grew is not. In a file none is."""
    first = report(connection(1), connection(2, **EOF_READ))
    last = report(connection(1), connection(2, **EOF_READ), connection(3, **EOF_READ))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    writer = TextReport(all_frames=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    writer.tick(Tick(tuple(Shown(site, number, 0) for number, site in enumerate(first.sites, 1)), 2, 2, S))
    capsys.readouterr()
    writer.report(last)
    told = capsys.readouterr().out
    assert told.count("  Do: ") == (1 if terminal else 2)
    assert told.count("as printed above") == terminal
    assert "site 1: 2 sockets of app (pid 100) to 127.0.0.1:8081, eof-ignored\n" in told
    writer.report(last)
    assert capsys.readouterr().out.count("  Do: ") == (0 if terminal else 2)
