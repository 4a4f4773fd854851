"""Fetches packages from one Debian suite through apt, without touching this machine's own apt.

apt checks what it downloads against the suite's signed index. Its state (lists, archives) is in the cache directory.
Each suite has its own state, because one package has different versions in two suites.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def freshness() -> list[str]:
    """Return this machine's settings for the age of an index as options of mmdebstrap, which does not read them.

    A mirror that is a snapshot of one day needs them, because the index of sid is valid for a week.
    """
    shown = subprocess.run(
        ["apt-config", "dump", "Acquire::Check-Valid-Until"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return [f"--aptopt={line.rstrip(';')}" for line in shown.splitlines()]


@dataclass(frozen=True)
class Suite:
    """A suite of the Debian archive, e.g. ``trixie``, with its own apt state under ``state``."""

    name: str
    mirror: str
    keyring: str
    state: Path

    def _options(self) -> list[str]:
        settings = {
            "Dir::Etc::SourceList": self.state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self.state / "lists",
            "Dir::State::status": self.state / "status",
            "Dir::Cache": self.state / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]

    def update(self) -> None:
        """Download the suite's signed package index. Raises CalledProcessError if that or the check fails."""
        for directory in ("lists/partial", "cache/archives/partial"):
            (self.state / directory).mkdir(parents=True, exist_ok=True)
        (self.state / "status").touch()
        source = f"deb [signed-by={self.keyring}] {self.mirror} {self.name} main\n"
        (self.state / "sources.list").write_text(source)
        subprocess.run(["apt-get", *self._options(), "-qq", "update"], check=True)

    def kernel_abi(self) -> str:
        """Return the version in the file names of the suite's amd64 kernel, e.g. ``6.12.107+deb13-amd64``."""
        shown = subprocess.run(
            ["apt-cache", *self._options(), "show", "--no-all-versions", "linux-image-amd64"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        found = re.search(r"^Depends:.*\blinux-image-(\d[^\s,]*-amd64)\b", shown, re.MULTILINE)
        if not found:
            raise LookupError(f"linux-image-amd64 of {self.name} names no kernel")
        return found.group(1)

    def download(self, packages: Sequence[str], into: Path) -> list[Path]:
        """Download ``packages`` into the directory ``into``. apt checks their hashes."""
        into.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", *self._options(), "-qq", "download", *packages], check=True, cwd=into)
        return sorted(into.glob("*.deb"))
