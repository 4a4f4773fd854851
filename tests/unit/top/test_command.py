"""``closetrace top`` where it cannot run: one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tracer import cli
from tracer.commands import top
from tracer.errors import UsageError


def test_without_textual(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what to install."""
    monkeypatch.setattr(top, "find_spec", lambda _name: None)
    assert cli.run_command(["top"]) == 2
    assert capsys.readouterr().err == "closetrace: closetrace top needs Textual: pip install 'closetrace[top]'\n"


def test_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what works without one."""
    assert cli.run_command(["top"]) == 2
    assert "closetrace top needs a terminal" in capsys.readouterr().err


class Terminal:
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_terminal_that_cannot_move_its_cursor(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as none."""
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), Terminal())
    monkeypatch.setattr(top, "sys", type("Sys", (), streams))
    monkeypatch.setenv("TERM", kind)
    with pytest.raises(UsageError, match="needs a terminal"):
        top.check()


def test_textual_is_imported_when_it_is_asked_for() -> None:
    """Not by the command's help, and not by any other command."""
    code = "import sys; from tracer import cli; cli.run_command(['top', '--help']); sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
