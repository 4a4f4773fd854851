"""Results of cells: read from JUnit files, kept in build/vm-results.json, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.vm.cells import Cell
from tests.vm.guest import Outcome


@dataclass(frozen=True)
class CellResult:
    """A cell's counts. ``trouble`` is empty if the cell passed."""

    kernel: str
    abi: str
    way: str
    userland: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    trouble: str

    @property
    def passed_all(self) -> bool:
        """Whether the cell passed."""
        return not self.trouble

    @property
    def summary(self) -> str:
        """Return the counts, the time and what went wrong, in one line."""
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped in {self.seconds:.0f} s"
        return f"{counts}{': ' + self.trouble if self.trouble else ''}"


def judge(cell: Cell, abi: str, outcome: Outcome, home: Path, tests_ran: bool = True) -> CellResult:
    """Return the cell's result from how the guest ended and from its ``junit.xml``."""
    passed, failed, skipped = _read_junit(home / "junit.xml")
    excused = [name for name in skipped if name.split("[")[0] in cell.skips]
    if outcome.timed_out:
        trouble = "killed: out of time"
    elif outcome.status is None:
        trouble = "the guest died"
    elif failed:
        trouble = "failed: " + _some(failed)
    elif len(excused) < len(skipped):
        trouble = "skipped without a reason in kernels.json: " + _some(sorted(set(skipped) - set(excused)))
    elif outcome.status != 0:
        trouble = f"exit status {outcome.status}"
    elif tests_ran and not passed:
        trouble = "no test ran"
    else:
        trouble = ""
    counts = (len(passed), len(failed), len(skipped))
    return CellResult(cell.kernel, abi, cell.way, cell.userland, *counts, round(outcome.seconds, 1), trouble)


def _some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names. console.log has the rest."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _read_junit(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the tests that passed, failed and were skipped; all empty without a readable file."""
    outcomes: tuple[list[str], list[str], list[str]] = ([], [], [])
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return outcomes
    for case in cases:
        tags = {child.tag for child in case}
        column = 1 if tags & {"failure", "error"} else 2 if "skipped" in tags else 0
        outcomes[column].append(f"{str(case.get('classname')).rpartition('.')[2]}::{case.get('name')}")
    return outcomes


def merge(path: Path, results: Sequence[CellResult]) -> None:
    """Put ``results`` into the JSON file at ``path``. They replace older results of the same cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {_key(r): r for r in load(path)}
    kept.update({_key(r): r for r in results})
    path.write_text(json.dumps([asdict(kept[k]) for k in sorted(kept)], indent=2) + "\n")


def load(path: Path) -> list[CellResult]:
    """Read the results in such a file. Without a file there are none."""
    return [CellResult(**entry) for entry in json.loads(path.read_text())] if path.exists() else []


def _key(result: CellResult) -> tuple[tuple[int, ...], str, str]:
    return tuple(int(part) for part in result.kernel.split(".")), result.userland, result.way


def table(results: Sequence[CellResult]) -> str:
    """Return the results as aligned text, a row per cell."""
    head = ("kernel", "way", "userland", "passed", "failed", "skipped", "seconds", "")
    rows = [
        (r.kernel, r.way, r.userland, str(r.passed), str(r.failed), str(r.skipped), f"{r.seconds:.0f}",
         "ok" if r.passed_all else r.trouble) for r in results
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)] + [0]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    total = f"{sum(r.passed_all for r in results)} of {len(results)} cells passed"
    return "\n".join(["", *lines, "", total])
