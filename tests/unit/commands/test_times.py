"""Times as people type them, through the type and through whole command lines."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tracer import cli
from tracer.commands.census import census
from tracer.commands.run import run
from tracer.commands.tail import tail
from tracer.commands.timeline import timeline
from tracer.commands.times import TIME, Time
from tracer.session.request import Request


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h", 3600), ("1.5h", 5400), ("0.5m", 30)),
        *(("1e3", 1000), ("0.1", 0.1), ("0.1s", 0.1), ("1e8", 1e8)),
    ],
)
def test_a_time_is_seconds_or_a_number_with_a_unit(text: str, seconds: float) -> None:
    """Every command gets seconds."""
    assert TIME.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "h", "5d", "5ms", "5 minutes", "m5", "1h30m", "--1", "5M", "nan", "nanm", "infs", "\0"]
)
def test_what_is_no_time_is_told_what_is_one(text: str) -> None:
    """The message has an example of each spelling, or the bounds."""
    with pytest.raises(click.BadParameter) as caught:
        TIME.convert(text, None, None)
    assert any(part in caught.value.message for part in ("1.5, 90s, 5m, 1h", "between 0.1 and 1e+08 seconds"))


@pytest.mark.parametrize("text", ["0", "0s", "-5m", "0.001m", "1e8h", "25h"])
def test_bounds_hold_whatever_the_unit(text: str) -> None:
    """The least is what the loop can keep; the most is the option's own."""
    with pytest.raises(click.BadParameter, match=r"between 0\.1 and 86400 seconds"):
        Time(86400).convert(text, None, None)


@pytest.mark.parametrize("command", [cli.main_group, census, run, tail, timeline], ids=lambda command: command.name)
def test_every_option_that_takes_seconds_takes_units(command: click.Command) -> None:
    """One type for all of them, and the help shows a unit."""
    names = {"--linger", "--duration", "--interval", "--watch"}
    options = [one for one in command.params if isinstance(one, click.Option) and names & set(one.opts)]
    assert options
    for option in options:
        assert isinstance(option.type, Time)
        assert "5m" in (option.help or "")


def test_the_trace_gets_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to the request and to the end of the run."""
    got: list[Any] = []
    monkeypatch.setattr(cli, "Stop", lambda duration, pids: (duration, pids))
    monkeypatch.setattr(cli, "trace", lambda *them: got.extend(them))
    assert cli.run_command(["--linger", "5m", "--duration", "1h", "--interval", "90s"]) == 0
    request, _output, stop = got
    assert isinstance(request, Request)
    assert (request.wanted.linger_ns, request.interval_s, stop[0]) == (300 * 10**9, 90, 3600)
