"""The configuration file, and which of its changes need another session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tracer.agent.settings import Settings, read_config
from tracer.errors import UsageError
from tracer.kernel.source import Sizes, Wanted
from tracer.model.scope import Scope
from tracer.session.request import Request

REQUEST = Request(Scope(), "the whole host", Sizes(32 << 20), Wanted(10), max_overhead=1.0, endless=True)


def test_entries_with_their_sections(tmp_path: Path) -> None:
    """Comments and percent signs mean what people mean by them."""
    file = tmp_path / "agent.conf"
    file.write_text("# ours\n[agent]\ngroup = adm  ; who asks\n\n[filter]\ncomm = 100%\npid =\n")
    assert read_config(str(file), must_be=True) == [
        ("agent", "group", "adm"),
        ("filter", "comm", "100%"),
        ("filter", "pid", ""),
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The usual one may be absent, one that was named may not."""
    assert read_config(str(tmp_path / "none"), must_be=False) == []
    with pytest.raises(UsageError, match="there is no file"):
        read_config(str(tmp_path / "none"), must_be=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\nlinger = 1\n", "line 2: 'linger = 1' stands before the first [section]"),
        ("[agent\n", "line 1: '[agent' stands before the first [section]"),
        ("[agent]\nlinger\n", "line 2: that is neither [section] nor key = value"),
        ("[filter]\npid = 1\npid = 2\n", "line 3: [filter] has pid twice (several values stand in one line)"),
        ("[agent]\n[filter]\n[agent]\n", "line 3: there is a second [agent]"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, content: str, said: str) -> None:
    """In words for who wrote the file."""
    file = tmp_path / "agent.conf"
    file.write_text(content)
    with pytest.raises(UsageError) as error:
        read_config(str(file), must_be=True)
    assert str(error.value) == f"{file}, {said}"


@pytest.mark.parametrize("content", [b"group = adm\n", b"[agent\n", b"[agent]\nx\n", b"\xff\xfe", b"[a]\nb=1\nb=2\n"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    """One line that has the file's name."""
    file = tmp_path / "agent.conf"
    file.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_config(str(file), must_be=True)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError):
        read_config(str(tmp_path), must_be=True)


def test_what_another_session_is_needed_for() -> None:
    """Who may ask and how much it may cost can change at any time, what is recorded cannot."""
    before = Settings(REQUEST)
    assert before.records_as(Settings(replace(REQUEST, max_overhead=5.0), "/run/other", "adm"))
    assert before.records_as(Settings(REQUEST, every_s=60, metrics="127.0.0.1:9753"))
    again = Request(Scope(), "the whole host", Sizes(32 << 20), Wanted(10), max_overhead=1.0, endless=True)
    assert before.records_as(Settings(again)), "a file that says the same as before"
    assert not before.records_as(Settings(replace(REQUEST, max_overhead=None)))
    assert not before.records_as(Settings(replace(REQUEST, scope=Scope(comm="nginx"))))
    assert not before.records_as(Settings(replace(REQUEST, sizes=Sizes(64 << 20))))
    assert not before.records_as(Settings(replace(REQUEST, wanted=Wanted(20))))
