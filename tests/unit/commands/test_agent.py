"""The agent's configuration file as its command reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.commands.agent import agent
from tracer.errors import UsageError


def test_a_filter_without_a_value_is_a_mistake(tmp_path: Path) -> None:
    """Without it the whole host would be recorded: that is not what a line with a filter means."""
    file = tmp_path / "agent.conf"
    file.write_text("[agent]\ngroup =\n[filter]\ncomm =  ; nginx\n")
    with pytest.raises(UsageError, match=r"agent.conf: \[filter\] comm has no value: give one, or take the line out"):
        agent.main(["--config", str(file)], standalone_mode=False)
