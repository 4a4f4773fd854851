"""Reads kernels.json into cells. A cell is one kernel, one userland and one way to hook the kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

DATA = Path(__file__).with_name("kernels.json")


@dataclass(frozen=True)
class Cell:
    """One run.

    ``way`` is a way in or the name of an absence. ``probes`` is the value for ``--probes``. ``tests`` are pytest's
    arguments for the tests to run, ``lost`` those for tests that cannot pass in this cell. ``chroot`` is the suite of a
    container's files, None without a container. ``install`` asks for `make install` first. ``slow`` is a factor for the
    tests' time limits. ``skips`` maps a test's name to the reason why it may be skipped.
    """

    kernel: str
    kernel_suite: str
    kernel_packages: Sequence[str]
    way: str
    probes: str
    userland: str
    tests: Sequence[str]
    lost: Sequence[str]
    parameters: str
    chroot: Optional[str]
    install: bool
    slow: float
    skips: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the name of the cell's directory and table row."""
        return f"{self.kernel}-{self.way}-{self.userland}".replace(" ", "-")


@dataclass(frozen=True)
class Matrix:
    """All of kernels.json. tests/vm/README.md describes its keys."""

    data: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path = DATA) -> Matrix:
        """Read the data file."""
        return cls(json.loads(path.read_text()))

    def __getattr__(self, key: str) -> Any:
        """Return a setting of the file, for example ``keyring``."""
        try:
            return self.data[key]
        except KeyError:
            raise AttributeError(key) from None

    @property
    def mirror(self) -> str:
        """Return the URL from which this machine's own apt gets Debian."""
        script = Path(__file__).resolve().parents[1] / "support" / "debian-mirror.sh"
        return subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    @property
    def kernels(self) -> list[str]:
        """Return the kernels' short versions, oldest first."""
        return [k["kernel"] for k in self.data["kernels"]]

    @property
    def ways(self) -> list[str]:
        """Return the names of the ways in."""
        return list(self.data["ways"])

    @property
    def userlands(self) -> dict[str, Any]:
        """Return each distribution's entry by its suite."""
        return {u["suite"]: u for u in self.data["userlands"]}

    @property
    def absences(self) -> dict[str, Any]:
        """Return the guests that lack or hold something special, by name."""
        return {a["name"]: a for a in self.data["absences"]}

    def choose(self, kernel: Optional[str], way: Optional[str], userland: Optional[str], ci: bool) -> list[Cell]:
        """Return the chosen cells.

        ``userland`` without ``kernel``: the distribution's own kernel with the way ``auto`` and the userland's tests.
        ``ci``: one cell for each kernel. Else: all kernels, ways and absences that match ``kernel`` and ``way``.
        """
        if userland and not kernel:
            own = self.userlands[userland]["kernel"]
            return [self._cell(own, way or "auto", userland, self.data["userland_tests"])]
        if ci:
            return [self._cell(k["kernel"], k["ci_way"], None, self.data["ci_tests"]) for k in self.data["kernels"]]
        cells = [
            self._cell(k["kernel"], w, userland, self.data["matrix_tests"])
            for k in self.data["kernels"]
            for w in self.ways
        ]
        cells += [self._cell(a["kernel"], name, userland, a["tests"]) for name, a in self.absences.items()]
        return [c for c in cells if kernel in (None, c.kernel) and way in (None, c.way)]

    def _cell(self, kernel: str, way: str, userland: Optional[str], tests: Sequence[str]) -> Cell:
        entry = next(k for k in self.data["kernels"] if k["kernel"] == kernel)
        userland = userland or self.data["matrix_userland"]
        lost = entry.get("lost", {}).get(way, {}).get("tests", ())
        return Cell(
            kernel,
            entry["suite"],
            tuple(entry["packages"]),
            way,
            self.data["ways"].get(way, {}).get("probes", "auto"),
            userland,
            tuple(tests),
            tuple(word for test in lost for word in ("--deselect", test)),
            self.absences.get(way, {}).get("parameters", ""),
            self.absences.get(way, {}).get("chroot"),
            tests is self.data["userland_tests"],
            self.absences.get(way, {}).get("slow", self.data["slow"]),
            {**self.data["skips"], **entry.get("skips", {}), **self.userlands[userland].get("skips", {})},
        )
