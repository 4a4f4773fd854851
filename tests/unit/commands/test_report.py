"""``closetrace report`` as a user calls it. Oracle: the text that the report itself renders to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.unit.builders import connection, report
from tracer.cli import run_command
from tracer.commands import files
from tracer.reports.json import report as json_report
from tracer.reports.text import table

LIVE = report(connection(1), connection(2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recorded report."""
    path = tmp_path / "a.json"
    path.write_text("".join(json_report.to_text(LIVE)), encoding="utf-8")
    return path


def test_text(
    file: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To stdout and to a file: what the trace printed."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command(["report", str(file)]) == 0
    expected = table.render(LIVE, width=100, color=False)
    out, err = capfdbinary.readouterr()
    assert out.decode() == expected
    assert err == b"recorded on host1 from 2023-11-14 22:30:00 to 2023-11-14 22:33:20 UTC; that end is its now\n"
    assert run_command(["report", "-o", str(tmp_path / "x"), str(file)]) == 0
    assert (tmp_path / "x").read_text() == expected


@pytest.mark.parametrize(
    ("form", "begin"), [("--json", b"{\n"), ("--html", b"<!doctype html>"), ("--pprof", b"\x1f\x8b")]
)
def test_other_forms(file: Path, tmp_path: Path, form: str, begin: bytes) -> None:
    """Each of one file and of two."""
    other = tmp_path / "b.json"
    other.write_bytes(file.read_bytes())
    for names in ([file], [file, other]):
        assert run_command(["report", form, "-o", str(tmp_path / "x"), *map(str, names)]) == 0
        written = (tmp_path / "x").read_bytes()
        assert written.startswith(begin)
        assert form != "--pprof" or gzip.decompress(written)


def test_json_is_the_file_again(tmp_path: Path) -> None:
    """Nothing of the document is lost."""
    file = tmp_path / "one.json"
    file.write_text("".join(json_report.to_text(report(connection(1)))), encoding="utf-8")
    assert run_command(["report", "--json", "-o", str(tmp_path / "x"), str(file)]) == 0
    assert json.loads((tmp_path / "x").read_text()) == json.loads(file.read_text())


def test_bad_files(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line with the reason and exit code 1; of several files the good ones are printed."""
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    for name, reason in ((bad, "it is not JSON"), (tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):
        assert run_command(["report", str(name)]) == 1
        told = capfd.readouterr().err
        assert told.count("\n") == 1
        assert str(name) in told
        assert reason in told
    assert run_command(["report", str(bad), str(file)]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("2 sockets from 1 leak site on 1 host, in 1 report")
    assert err.splitlines()[0].startswith(f"left out: {bad}: it is not JSON")
    assert err.splitlines()[-1] == "closetrace: 1 of 2 files were left out"
    assert run_command(["report", str(file), str(file)]) == 2


def test_a_file_with_one_bad_site_costs_no_other_file(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is found late, when the newest report of each site is shown: then the others are merged without that file."""
    bad = tmp_path / "bad.json"
    whole = json.loads(file.read_text())
    whole["now_ns"] += 1
    whole["sites"][0]["stack"][0]["pc"] = "nowhere"
    bad.write_text(json.dumps(whole))
    assert run_command(["report", str(file), str(bad)]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("2 sockets from 1 leak site on 1 host, in 1 report")
    assert err.splitlines()[0] == f"left out: {bad}: sites[0].stack[0].pc is not an address"
    assert run_command(["report", str(bad), str(tmp_path / "none")]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "closetrace: no file is a report"


def test_a_failed_write_leaves_the_old_file(file: Path, tmp_path: Path) -> None:
    """The output appears whole or not at all."""
    target = tmp_path / "x"
    target.write_text("old")
    bad = tmp_path / "bad.json"
    bad.write_text(file.read_text().replace('"pid": 100', '"pid": "x"', 1))
    assert run_command(["report", "-o", str(target), str(bad)]) == 1
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "bad.json", "x"]


def test_a_file_that_is_too_large_is_told_with_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The limit, and how to record less; the file is not read whole into memory to find out."""
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    assert run_command(["report", str(path)]) == 1
    said = capfd.readouterr().err
    assert said.startswith(f"closetrace: {path}: it is larger than 256 MiB, the most that is read.")
    assert "--linger" in said
