"""--verbose: one harmless line a step, on stderr, and nothing at all without it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time

import pytest

from tracer import cli
from tracer.commands import verbose
from tracer.trail import Took, Trail

LOG = Trail("tracer.kernel.anything")


def test_a_line_has_the_time_since_the_process_began(capsys: pytest.CaptureFixture[str]) -> None:
    """In ms; the first line says what runs."""
    began = time.monotonic() - verbose._process_age_s()
    end = verbose.begin()
    LOG.debug("maps made: %d", 3)
    end()
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert "closetrace " in first
    found = re.fullmatch(r"\[ *([\d.]+) ms\] maps made: 3", second)
    assert found is not None
    assert float(found[1]) == pytest.approx((time.monotonic() - began) * 1e3, abs=100)


def test_nothing_is_told_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither before nor after."""
    verbose.begin()()
    capsys.readouterr()
    LOG.debug("nobody reads this")
    assert capsys.readouterr() == ("", "")
    assert not logging.getLogger("tracer.kernel.anything").isEnabledFor(logging.DEBUG)


def test_a_hostile_name_is_shown_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, line ends and bytes that are no text."""
    end = verbose.begin()
    capsys.readouterr()
    LOG.debug("file %s opened", "\x1b]0;owned\x07\n\udcfe\u202e")
    end()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_the_status_line_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the line that is rewritten in place is erased first, as StatusLine.clear() does it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    end = verbose.begin()
    screen.write("12 sockets watched")
    LOG.debug("look")
    end()
    assert re.search(r"12 sockets watched\r\x1b\[K\[ *[\d.]+ ms\] look\n$", screen.getvalue())


def test_a_closed_stderr_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of the lines has gone; the trace goes on."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Gone())
    end = verbose.begin()
    LOG.debug("look")
    end()


@pytest.mark.parametrize("arguments", [["doctor", "--verbose"], ["--verbose", "doctor"]], ids=" ".join)
def test_the_option_ends_with_its_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """What doctor looked at is told on stderr; the next command in the same process is silent."""
    code = cli.run_command([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert code == (0 if json.loads(out)["ready"] else 4), "it is not ready without root"
    assert "kernel probed for " in err
    assert cli.run_command(["doctor", "--json"]) == code
    assert " ms] " not in capsys.readouterr().err


def test_a_time_is_told_in_milliseconds() -> None:
    """When it is asked for, not before."""
    took = Took()
    begun = time.monotonic()
    time.sleep(0.03)
    elapsed = (time.monotonic() - begun) * 1e3
    shown = re.fullmatch(r"([\d.]+) ms", str(took))
    assert shown is not None
    assert float(shown[1]) == pytest.approx(elapsed, abs=10)
