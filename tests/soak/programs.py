"""The programs whose sockets leak while the agent is watched. Each lives for minutes, then another takes its place."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import works

_PYTHON = str(Path(__file__).with_name("leaks.py"))


@dataclass
class Program:
    """One program. It is replaced every ``life_s`` seconds, for the first time after ``first_s``."""

    words: tuple[str, ...]
    life_s: float
    first_s: float
    starts: int = 0
    _process: subprocess.Popen[bytes] = field(init=False)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._start(self.first_s)

    def _start(self, life_s: float) -> None:
        self.starts += 1
        self._until = time.monotonic() + life_s
        self._process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL)

    def look(self) -> None:
        """Replace it if it is time."""
        if time.monotonic() >= self._until:
            self.close()
            self._start(self.life_s)

    def close(self) -> None:
        """End it. Its server ends with it."""
        self._process.kill()
        self._process.wait()


def several(rate: int, life_s: float, within: tuple[str, ...] = ()) -> list[Program]:
    """Three programs in C and one in Python, which open ``rate`` connections per second together.

    A leak comes for each 20 connections, and goes after 40 to 160 s. ``within`` is a command prefix.
    """
    each, leaks = str(rate // 4), works.build("leaks")
    kinds = [
        (leaks, each, "100", "20", "40"),
        (leaks, each, "300", "20", "80"),
        (leaks, each, "20", "20", "160"),
        (sys.executable, _PYTHON, each, "50", "20", "60"),
    ]
    return [
        Program((*within, *words), life_s * (1 + number / 4), life_s * (number + 1) / 4)
        for number, words in enumerate(kinds)
    ]
