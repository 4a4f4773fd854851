"""A process that was started by given words, for the rooms' modules that tell which package is its program."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Optional

import pytest

from tracer.stacks.language import OfProgram
from tracer.stacks.target.process import Process


def program_of(
    tested: ModuleType, words: Sequence[str], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> Optional[OfProgram]:
    """What ``tested.program`` tells of this process, as if these were the words of its command line."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(tested, "words", lambda _process: tuple(words))
    process = Process.open(os.getpid())
    told: Optional[OfProgram] = tested.program(process)
    process.close()
    return told
