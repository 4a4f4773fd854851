"""Oracle: the words that a process was started with, and texts as programs write them over these."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.present import present
from tracer.stacks.target.command import after_options, read_start, split, words
from tracer.stacks.target.process import Process

WAITER = "import sys; print('up', flush=True); sys.stdin.read(1)"


def test_the_words_of_a_program() -> None:
    """Each as it was given, also those with spaces, without characters, or of bytes that are no text."""
    given = [sys.executable, "-c", WAITER, "two words", "", "a\udcffb", "end"]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        present(child.stdout).readline()
        process = Process.open(child.pid)
        assert words(process) == tuple(given)
        process.close()
        child.kill()
    assert words(process) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", ()),
        (b"\0\0\0", ()),
        (b"python\0-m\0shopd\0", ("python", "-m", "shopd")),
        (b"gunicorn: worker [shopd.web:app]\0\0\0", ("gunicorn", "worker", "shopd.web:app")),
        (b"/srv/bin/shopd 8080   ", ("/srv/bin/shopd", "8080")),
        (b"shopd\0", ("shopd",)),
    ],
)
def test_a_title_is_one_text(text: bytes, told: tuple[str, ...]) -> None:
    """A program that writes a title in place of its command line leaves no NUL between the words."""
    assert split(text) == told


def test_behind_the_options() -> None:
    """The value of an option is no script."""
    assert after_options(("-W", "error", "-u", "run.py", "-x"), ("-W",)) == 3
    assert after_options(("-u", "-W"), ("-W",)) >= 2
    assert after_options((), ()) == 0


def test_only_a_short_file_is_read(tmp_path: Path) -> None:
    """One that is longer is not read in part, a FIFO is not waited for, and nothing is no error."""
    short, pipe = tmp_path / "short", tmp_path / "pipe"
    short.write_text("12345")
    os.mkfifo(pipe)
    process = Process.open(os.getpid())
    assert read_start(process, str(short), 5) == "12345"
    assert read_start(process, str(short), 4) == ""
    assert read_start(process, str(pipe), 5) == read_start(process, str(tmp_path / "none"), 5) == ""
    process.close()
