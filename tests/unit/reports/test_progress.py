"""The line that tells how far work has come: on a terminal alone, and never left there."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from tracer.reports.text import progress as room
from tracer.reports.text.progress import Progress

CLEAR = "\r\x1b[K"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    return clock


class Terminal:
    """A terminal as stderr, and what was written to it."""

    def __init__(self) -> None:
        self.reads, self.slave = pty.openpty()
        self.file = open(self.slave, "w", encoding="utf-8")  # noqa: SIM115

    def progress(self) -> Progress:
        """One that finds this terminal as stderr. Pytest sets stderr anew for each test, after its fixtures."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self.file)
            return Progress()

    def said(self) -> str:
        self.file.write("\0")
        self.file.flush()
        found = b""
        while not found.endswith(b"\0"):
            found += os.read(self.reads, 65536)
        return found[:-1].decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    yield terminal
    terminal.file.close()
    os.close(terminal.reads)


def test_counted_work_appears_late_and_leaves_nothing(clock: Clock, terminal: Terminal) -> None:
    """After half a second, ten times a second, within the terminal's width; then the line is empty."""
    progress = terminal.progress()
    for done in progress.each("reading sockets", range(4000)):
        clock.now += 0.001
        if done == 490:
            assert terminal.said() == ""
    said = terminal.said().split(CLEAR)
    assert said[1] == "reading sockets: 500 of 4000 (12 %)"
    assert 30 <= len(said) - 2 <= 36
    assert max(map(len, said)) < 40
    assert said[-1] == ""


def test_work_that_nobody_can_count_appears_at_once(clock: Clock, terminal: Terminal) -> None:
    """It does not come back before it is over; an error ends it, too."""
    del clock
    with contextlib.suppress(OSError), terminal.progress().during("compiling"):
        assert terminal.said() == f"{CLEAR}compiling ..."
        raise OSError
    assert terminal.said() == CLEAR


def test_no_work_shows_nothing(clock: Clock, terminal: Terminal) -> None:
    """A look each second finds nothing new: that is not work of which nobody knows how much it is."""
    del clock
    assert list(terminal.progress().each("reading sockets", ())) == []
    assert terminal.said() == ""


def test_nothing_is_drawn_once_it_is_closed(clock: Clock, terminal: Terminal) -> None:
    """The terminal is then the live screen's."""
    progress = terminal.progress()
    progress.close()
    for _ in progress.each("reading sockets", range(4)):
        clock.now += 1
    with progress.during("compiling"):
        pass
    assert terminal.said() == ""


def test_work_goes_on_when_the_terminal_has_gone(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose window is closed gets the report of the trace, where that goes to a file."""
    reads, slave = pty.openpty()
    with open(slave, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stderr", file)
        progress = Progress()
        os.close(reads)
        with pytest.raises(OSError, match="Input/output"):
            os.write(slave, b"x")
        with progress.during("compiling"):
            done = []
            for one in progress.each("reading sockets", range(4)):
                clock.now += 1
                done.append(one)
        assert done == [0, 1, 2, 3]
        with contextlib.suppress(OSError):
            file.close()


def test_nothing_goes_to_a_file(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor to a pipe."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    progress = Progress()
    for _ in progress.each("reading sockets", range(4)):
        clock.now += 1
    with progress.during("compiling"):
        pass
    assert file.getvalue() == ""
