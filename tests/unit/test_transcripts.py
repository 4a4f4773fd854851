"""The transcripts in docs are what closetrace prints today, and the README shows parts of them as they are."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import runpy
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tracer.diagnose.advice import advise
from tracer.reports.json.reading.report import from_text
from tracer.reports.text.cells import width_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "transcripts"
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDED = sorted(path.stem for path in FOLDER.glob("*.json"))
CUT = "[...]"
MOST_LINES = 24


def text(name: str, width: int) -> str:
    return (FOLDER / f"{name}.{width}.txt").read_text(encoding="utf-8")


def test_texts_are_those_of_the_recordings() -> None:
    """`make transcripts` writes them. None is left over, and none is wider than its terminal."""
    written = runpy.run_path(str(ROOT / "docs" / "make_transcripts.py"))["transcripts"]()
    assert {path.name for path in written} == {path.name for path in FOLDER.glob("*.txt")}
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == content, f"run make transcripts ({path.name})"
        assert max(map(width_of, content.splitlines())) <= int(path.suffixes[0][1:]), path.name


@pytest.mark.parametrize("name", RECORDED)
def test_the_recordings_say_what_would_be_said_today(name: str) -> None:
    """A recording has the sentences of the day on which it was made. If they have changed since, it is made anew."""
    report = from_text((FOLDER / f"{name}.json").read_bytes())
    for site in report.sites:
        today = advise(site.verdict, list(site.findings), site.stack, site.opened_stack, site.now)
        assert (site.explanation, site.advice) == today, f"record {name} anew (docs/transcripts/README.md)"


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", RECORDED)
def test_a_terminal_shows_the_same(name: str, width: int) -> None:
    """The command, on a terminal of that width, as a person calls it."""
    reads, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [str(Path(sys.executable).with_name("closetrace")), "report", str(FOLDER / f"{name}.json")]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env={**environment, "NO_COLOR": "1"}
    ):
        os.close(slave)
        seen = b""
        while True:
            try:
                seen += os.read(reads, 65536)
            except OSError:  # EIO: nobody has the terminal any more
                break
    os.close(reads)
    assert seen.decode().replace("\r\n", "\n") == text(name, width)


@pytest.mark.parametrize("name", RECORDED)
def test_the_readme_shows_what_was_recorded(name: str) -> None:
    """Lines as they are, in their order, and between two that do not follow each other the mark of a cut."""
    pid = re.search(r"pid (\d+)", json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["target"])
    assert pid is not None
    (block,) = re.findall(rf"^```\n\$ sudo closetrace {pid[1]} .*\n([^`]+)^```$", README, re.MULTILINE)
    lines, at, cut = text(name, 80).splitlines(), 0, False
    for line in block.splitlines():
        if line.strip() == CUT:
            cut = True
            continue
        found = lines.index(line, at)
        assert found == at or cut, line
        at, cut = found + 1, False
    assert name == "demo" or len(block.splitlines()) <= MOST_LINES


def test_nothing_of_the_recording_machine_is_in_them() -> None:
    """Whose files and neighbours those are is nobody's business."""
    for path in FOLDER.glob("*.json"):
        recording = path.read_text(encoding="utf-8")
        report = json.loads(recording)
        assert report["host"] == {"hostname": "web-1", "kernel": "6.12.0", "architecture": "x86_64"}
        assert report["reconciliation"]["unreadable"]["names"] == []
        places = set(re.findall(r'"(/[^"/]+)/[^"]*"', recording))
        assert places <= {"/srv", "/usr", "/lib"}, places
