"""Writes the tables of docs/kernel-support.md from kernels.json and the last run's results.

First it merges build/vm-results.json into tests/vm/last-run.json. With `--check` it only compares, and fails if the
document differs from what the two files give.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.vm.cells import Matrix
from tests.vm.results import CellResult, load, merge

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
DOCUMENT = PROJECT / "docs/kernel-support.md"
LAST_RUN = HERE / "last-run.json"
MARKED = "<!-- made by tests/vm/support_table.py: {0} -->\n{1}<!-- end of {0} -->"


def main(arguments: list[str]) -> int:
    """Merge the newest results and write the document, or compare it. Return the exit status."""
    if arguments == ["--check"]:
        return 0 if updated(DOCUMENT.read_text()) == DOCUMENT.read_text() else 1
    merge(LAST_RUN, load(PROJECT / "build/vm-results.json"))
    DOCUMENT.write_text(updated(DOCUMENT.read_text()))
    return 0


def updated(document: str) -> str:
    """Return the document's text with new tables."""
    matrix, results = Matrix.load(), load(LAST_RUN)
    makers = {"kernels": _kernels, "absences": _absences, "userlands": _userlands}
    for name, make in makers.items():
        table = make(matrix, results)
        pattern = re.escape(MARKED).replace(r"\{0\}", name).replace(r"\{1\}", "(.*?)")
        place = re.search(pattern, document, re.DOTALL)
        if not place:
            raise LookupError(f"docs/kernel-support.md has no place for the table of {name}")
        document = document.replace(place.group(0), MARKED.format(name, table))
    return document


def _kernels(matrix: Matrix, results: list[CellResult]) -> str:
    rows = [["kernel", "Debian", *matrix.ways, "what it proves"]]
    for kernel in matrix.data["kernels"]:
        cells = [
            _with_loss(kernel, way, _told(results, kernel["kernel"], way, matrix.matrix_userland))
            for way in matrix.ways
        ]
        abi = next((r.abi for r in results if r.kernel == kernel["kernel"]), "")
        rows.append(
            [f"{kernel['kernel']} ({abi})" if abi else kernel["kernel"], kernel["suite"], *cells, kernel["proves"]]
        )
    return _markdown(rows)


def _with_loss(kernel: Mapping[str, Any], way: str, told: str) -> str:
    """Add the reason why some tests are left out of that cell."""
    why = kernel.get("lost", {}).get(way, {}).get("why")
    return f"{told}; {why}" if why else told


def _absences(matrix: Matrix, results: list[CellResult]) -> str:
    rows = [["a guest with", "kernel", "tests"]]
    for name, absence in matrix.absences.items():
        told = _told(results, absence["kernel"], name, matrix.matrix_userland)
        rows.append([name, absence["kernel"], told])
    return _markdown(rows)


def _userlands(matrix: Matrix, results: list[CellResult]) -> str:
    rows = [["distribution", "kernel", "python", "bcc", "live tests"]]
    for suite, userland in matrix.userlands.items():
        told = _told(results, userland["kernel"], "auto", suite)
        rows.append([suite, userland["kernel"], userland["python"], userland["bcc"], told])
    return _markdown(rows)


def _told(results: list[CellResult], kernel: str, way: str, userland: str) -> str:
    for result in results:
        if (result.kernel, result.way, result.userland) == (kernel, way, userland):
            counts = f"{result.passed} passed"
            counts += f", {result.failed} failed" if result.failed else ""
            counts += f", {result.skipped} skipped" if result.skipped else ""
            return counts if result.passed_all else f"**{counts}**: {result.trouble}"
    return "not run"


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
