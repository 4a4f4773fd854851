"""A cell of the kernel matrix passes only where every test ran and passed, or its absence has a written reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.cells import Cell, Matrix
from tests.vm.guest import Outcome
from tests.vm.results import judge, load, merge, table

PROJECT = Path(__file__).resolve().parents[3]
PASSED = '<testcase classname="tests.live.test_a" name="test_one"/>'
FAILED = '<testcase classname="tests.live.test_a" name="test_two"><failure/></testcase>'
SKIPPED = '<testcase classname="tests.live.test_a" name="test_three[x]"><skipped/></testcase>'
ENDED = Outcome(0, 61.0, timed_out=False)


def cell(**skips: str) -> Cell:
    (chosen,) = Matrix({**Matrix.load().data, "skips": skips}).choose("6.12", "kprobe", None, ci=False)
    return chosen


def junit(home: Path, *cases: str) -> Path:
    (home / "junit.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return home


@pytest.mark.parametrize(
    ("cases", "outcome", "trouble"),
    [
        ((PASSED,), ENDED, ""),
        ((PASSED, FAILED), Outcome(1, 61.0, timed_out=False), "failed: test_a::test_two"),
        ((PASSED, SKIPPED), ENDED, "skipped without a reason in kernels.json: test_a::test_three[x]"),
        ((), ENDED, "no test ran"),
        ((PASSED,), Outcome(None, 61.0, timed_out=False), "the guest died"),
        ((PASSED,), Outcome(None, 61.0, timed_out=True), "killed: out of time"),
        ((PASSED,), Outcome(3, 61.0, timed_out=False), "exit status 3"),
    ],
)
def test_trouble_is_named(tmp_path: Path, cases: tuple[str, ...], outcome: Outcome, trouble: str) -> None:
    """Whatever keeps a cell from passing stands in its result."""
    result = judge(cell(), "6.12.1-amd64", outcome, junit(tmp_path, *cases))
    assert result.trouble == trouble
    assert result.passed_all == (not trouble)


def test_skip_with_a_reason(tmp_path: Path) -> None:
    """A skip that the data file explains does not fail the cell, and is counted."""
    excused = cell(**{"test_a::test_three": "no such thing there"})
    result = judge(excused, "6.12.1-amd64", ENDED, junit(tmp_path, PASSED, SKIPPED))
    assert (result.passed, result.skipped, result.trouble) == (1, 1, "")


def test_results_are_kept_per_cell(tmp_path: Path) -> None:
    """A later run replaces its own cells and no other; the table shows both and counts what passed."""
    kept = tmp_path / "results.json"
    (other,) = Matrix.load().choose("5.10", "fentry", None, ci=False)
    home = junit(tmp_path, PASSED)
    merge(kept, [judge(cell(), "6.12.1-amd64", ENDED, home), judge(other, "5.10.1-amd64", ENDED, home)])
    merge(kept, [judge(cell(), "6.12.2-amd64", Outcome(None, 5.0, timed_out=True), home)])
    results = load(kept)
    assert [(r.kernel, r.abi) for r in results] == [("5.10", "5.10.1-amd64"), ("6.12", "6.12.2-amd64")]
    assert table(results).splitlines()[-1] == "1 of 2 cells passed"


def test_ci_has_a_cell_of_every_kernel() -> None:
    """One cell per kernel, and between them every way in."""
    matrix = Matrix.load()
    cells = matrix.choose(None, None, None, ci=True)
    assert [c.kernel for c in cells] == matrix.kernels
    assert {c.way for c in cells} == set(matrix.ways)


def named_tests(data: Any) -> Iterator[str]:
    """Every pytest argument of the data file that names tests."""
    if isinstance(data, str) and data.startswith("tests/"):
        yield data
    elif isinstance(data, (dict, list)):
        for part in data.values() if isinstance(data, dict) else data:
            yield from named_tests(part)


@pytest.mark.parametrize("name", sorted(set(named_tests(Matrix.load().data))))
def test_named_tests_exist(name: str) -> None:
    """What the data file selects or leaves out is there: a test that was renamed would be left out of nothing."""
    file, _, rest = name.partition("::")
    text = (PROJECT / file).read_text()
    function, _, parameter = rest.partition("[")
    assert not function or re.search(rf"(def|class) {function}\b", text)
    assert f'"{parameter.rstrip("]")}' in text if parameter else True


def test_every_way_loses_what_is_written_only() -> None:
    """Only cells that the data file gives a reason for leave tests out."""
    matrix = Matrix.load()
    for cell in matrix.choose(None, None, None, ci=False):
        entry = next(k for k in matrix.data["kernels"] if k["kernel"] == cell.kernel)
        assert bool(cell.lost) == bool(entry.get("lost", {}).get(cell.way, {}).get("why"))
