"""What a person at a terminal sees of a trace: each site whole, once."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from tests.unit.builders import S, connection, report, stack, touch
from tests.unit.cases import EOF_READ
from tracer.model.finding import Report, Shown, Tick
from tracer.model.states import Op
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


class Terminal(io.StringIO):
    """What is printed to a terminal."""

    def isatty(self) -> bool:
        return True


def told(monkeypatch: pytest.MonkeyPatch, *reports: Report) -> list[str]:
    """What one writer prints of these reports, one after the other."""
    monkeypatch.setenv("COLUMNS", "120")
    writer, printed = TextReport(all_frames=False), []
    for one in reports:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        writer.report(one)
        printed.append(terminal.getvalue())
    return printed


@pytest.mark.parametrize("alone", [True, False])
def test_the_line_that_tells_of_life_does_not_mix_with_a_command(monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    """What is rewritten in place would tear what the command of `closetrace run` prints on the same terminal."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", said := Terminal())
    TextReport(all_frames=False, alone=alone).tick(Tick((), 2, 1, S))
    assert ("2 sockets watched" in said.getvalue()) is alone


@pytest.mark.parametrize(
    "now",
    [
        report(connection(1), connection(3)),
        report(connection(1), connection(2, last=touch(Op.RECV, 1.5, 150))),
    ],
)
def test_what_only_looks_the_same_is_told_again(monkeypatch: pytest.MonkeyPatch, now: Report) -> None:
    """As many sockets at the same place, but other ones; the same sockets, but one was used meanwhile."""
    before = report(connection(1), connection(2))
    _, same, other = told(monkeypatch, before, before, now)
    assert "as printed above" in same
    assert "as printed above" not in other


def test_a_site_of_the_table_alone_was_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the sites before it have gone it is told at length."""
    calls = [touch(Op.RECV, 1.006, 150, stack=stack(f"of{number}", "main")) for number in range(30)]
    many = report(*(connection(number, last=call) for number, call in enumerate(calls, 1)))
    assert len(many.sites) == 30
    before, after = told(monkeypatch, many, replace(many, sites=many.sites[20:]))
    assert "10 more sites are in the table alone" in before
    assert "as printed above" not in after
