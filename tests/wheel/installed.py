"""closetrace in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What bcc is installed for, and what the Makefile takes.
PYTHON = "/usr/bin/python3"


def checked(*words: object, **options: object) -> str:
    """The stdout of a command that must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def copy_of_the_repository(directory: Path) -> Path:
    """The files that git tracks, as they are now: builds leave nothing in the checkout."""
    names = checked("git", "-c", "safe.directory=*", "ls-files", "-z", cwd=REPOSITORY).split("\0")
    for name in filter(None, names):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)
    return directory


@dataclass(frozen=True)
class Installed:
    """closetrace in an environment: its directory, and a directory from where it is run."""

    home: Path
    elsewhere: Path

    @property
    def command(self) -> Path:
        return self.home / "bin" / "closetrace"

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end."""
        return subprocess.run(
            [str(self.command), *arguments],
            cwd=self.elsewhere,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def install(home: Path, what: Sequence[object]) -> None:
    """A new environment that sees the distribution's bcc, with this in it."""
    checked(PYTHON, "-I", "-m", "venv", "--system-site-packages", home)
    checked(home / "bin" / "python", "-I", "-m", "pip", "install", "--quiet", *what)
