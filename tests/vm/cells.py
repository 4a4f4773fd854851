"""The matrix as values: kernels.json read into cells, each one kernel, one userland and one way in."""

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

    ``way`` is a way in or the name of an absence, ``probes`` the value for ``--probes``, ``tests`` and ``lost`` are
    pytest's arguments for what runs and what cannot pass there, ``chroot`` is the suite of the container's files, if
    there is to be one, ``install`` asks for `make install` first, ``slow`` stretches the tests' time limits, ``skips``
    maps a test's name to why it may be skipped.
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
        """Return what the cell's directory and table row are called."""
        return f"{self.kernel}-{self.way}-{self.userland}".replace(" ", "-")


@dataclass(frozen=True)
class Matrix:
    """All of kernels.json; the keys there are documented in tests/vm/README.md."""

    data: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path = DATA) -> Matrix:
        """Read the data file."""
        return cls(json.loads(path.read_text()))

    def __getattr__(self, key: str) -> Any:
        """Return a plain setting of the file, e.g. ``keyring``."""
        try:
            return self.data[key]
        except KeyError:
            raise AttributeError(key) from None

    @property
    def mirror(self) -> str:
        """Return where this machine's own apt has Debian from."""
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
        """Return what guests are made to lack or to hold, by name."""
        return {a["name"]: a for a in self.data["absences"]}

    def choose(self, kernel: Optional[str], way: Optional[str], userland: Optional[str], ci: bool) -> list[Cell]:
        """Return the cells that were asked for.

        ``userland`` alone means that distribution's own kernel, the way in that a user would get there (``auto``) and
        all live tests. ``ci`` means one cell per kernel. Otherwise all kernels, ways and absences that are not
        excluded by ``kernel`` or ``way``.
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
