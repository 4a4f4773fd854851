"""The matrix as values: kernels.json read into cells, each one kernel, one userland and one way in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

DATA = Path(__file__).with_name("kernels.json")


@dataclass(frozen=True)
class Cell:
    """One run. ``probes`` is the value for ``--probes``; ``skips`` maps a test's name to why it may be skipped."""

    kernel: str
    kernel_suite: str
    kernel_packages: Sequence[str]
    way: str
    probes: str
    userland: str
    skips: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return what the cell's directory and table row are called."""
        return f"{self.kernel}-{self.way}-{self.userland}"


@dataclass(frozen=True)
class Matrix:
    """All of kernels.json; the keys there are documented in tests/vm/README.md."""

    data: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path = DATA) -> Matrix:
        """Read the data file."""
        return cls(json.loads(path.read_text()))

    def __getattr__(self, key: str) -> Any:
        """Return a plain setting of the file, e.g. ``mirror``."""
        try:
            return self.data[key]
        except KeyError:
            raise AttributeError(key) from None

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

    def choose(
        self, kernel: Optional[str], way: Optional[str], userland: Optional[str] = None, ci: bool = False
    ) -> list[Cell]:
        """Return the cells that were asked for: all ways of a kernel unless ``way`` or ``ci`` narrows them.

        ``userland`` alone means that distribution's own kernel with the way that a user would get there (``auto``).
        """
        if userland and not kernel:
            return [self._cell(self.userlands[userland]["kernel"], way or "auto", userland)]
        return [
            self._cell(k["kernel"], w, userland or self.data["matrix_userland"])
            for k in self.data["kernels"]
            for w in ([k["ci_way"]] if ci and not way else k["ways"])
            if kernel in (None, k["kernel"]) and way in (None, w)
        ]

    def _cell(self, kernel: str, way: str, userland: str) -> Cell:
        entry = next(k for k in self.data["kernels"] if k["kernel"] == kernel)
        probes = "auto" if way == "auto" else self.data["ways"][way]["probes"]
        skips = {**self.data["skips"], **entry["skips"], **self.userlands[userland].get("skips", {})}
        return Cell(kernel, entry["suite"], tuple(entry["packages"]), way, probes, userland, skips)
