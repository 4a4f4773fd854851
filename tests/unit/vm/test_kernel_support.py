"""docs/kernel-support.md says what the data file and the last run's results say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def test_tables_are_made_from_the_data() -> None:
    """`make support-table` would change nothing."""
    command = [sys.executable, "-m", "tests.vm.support_table", "--check"]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == 0
