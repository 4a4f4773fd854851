"""Asking an agent where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tracer.commands.ask import ask
from tracer.model.scope import Scope


def test_without_an_agent_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that is to begin must not wait for what it does not need."""
    for name in ("asking", "protocol"):
        monkeypatch.setitem(sys.modules, f"tracer.agent.{name}", None)
    assert ask(str(tmp_path / "agent.sock"), Scope(), 10.0, as_json=False) is None
