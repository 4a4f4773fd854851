"""What the systemd unit says. The chart and the container have the same capabilities."""

from __future__ import annotations

import re

from tests.wheel.installed import REPOSITORY

UNIT = REPOSITORY / "packaging/systemd/closetrace-agent.service"


def capabilities() -> list[str]:
    """The names of those that root keeps, as ``CAP_BPF``."""
    (line,) = re.findall(r"^CapabilityBoundingSet=(.+)$", UNIT.read_text(), re.MULTILINE)
    return str(line).split()
