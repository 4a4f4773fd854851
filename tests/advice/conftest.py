"""Advice, applied. Like the live tests these fail, never skip, where they cannot run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ci: one of the cells that stand for the rest")


@pytest.fixture(scope="session", autouse=True)
def _libraries() -> None:
    assert os.geteuid() == 0, "closetrace watches some of the programs with BPF: run the tests as root"
    subprocess.run([str(HERE / "setup.sh")], check=True)
