"""Remarks beside the report: within the terminal's width for a person, one line for a script."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from tracer.reports.text import terminal

REMARK = "tracing price-client-with-a-long-name (pid 123456): 5 of 8 hook families, threshold 10 s. Ctrl-C ends it."


@pytest.mark.parametrize(("columns", "lines"), [(80, 2), (40, 3), (200, 1)])
def test_a_terminal_gets_lines_of_its_width(monkeypatch: pytest.MonkeyPatch, columns: int, lines: int) -> None:
    """Of stderr's own, whatever stdout is."""
    reads, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    monkeypatch.delenv("COLUMNS", raising=False)
    with open(slave, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        terminal.say(REMARK)
        said = os.read(reads, 4096).decode()
    os.close(reads)
    shown = said.splitlines()
    assert len(shown) == lines
    assert max(map(len, shown)) <= columns
    assert " ".join(said.split()) == REMARK


def test_a_file_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """As a script would look for it."""
    terminal.say(REMARK)
    assert capsys.readouterr().err == f"{REMARK}\n"
