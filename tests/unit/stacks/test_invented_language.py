"""A language is one folder and one line. Invented ones work, from the stack to the reports, with no other change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from tests.unit import builders
from tests.unit.stacks import interpreted, invented
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, names, running
from tracer.model.frame import Stack
from tracer.model.states import Op
from tracer.reports.json import report as json_report
from tracer.reports.text import table
from tracer.stacks import registry
from tracer.stacks.language import Runtime
from tracer.stacks.service import StackService

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text(encoding="utf-8"))


def forget() -> None:
    registry.all_languages.cache_clear()
    registry.language.cache_clear()


@pytest.fixture(autouse=True)
def _one_line_more(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folders = tuple(module.__name__ for module in (invented, interpreted))
    monkeypatch.setattr(registry, "MODULES", (*folders, *registry.MODULES))
    forget()
    yield
    forget()


def unwound(directory: Path, name: str, language: ModuleType) -> Stack:
    """The stack of the language's program while it blocks in a read."""
    service = StackService()
    with running(compile_c(directory, name, language.PROGRAM)) as child:
        stack = service.unwind(capture(child.pid))
    service.close()
    return stack


def test_unwound_and_named(tmp_path: Path) -> None:
    """Its generated code, its functions in compiled code, and the start of its stacks are recognised."""
    stack = unwound(tmp_path, "inventvm", invented)
    found = [(frame.function, frame.language, frame.internal) for frame in stack.frames]
    assert found[:7] == [
        ("read", "native", True),
        ("blocked", "native", False),
        ("httpkit/Client.get", "invented", False),
        ("shop/Cart.load", "invented", False),
        ("vm/Loop.tick", "invented", True),
        ("vm/Loop.run", "invented", True),
        ("shop/Boot.main", "invented", False),
    ]
    assert stack.complete, stack.note


def reported(stack: Stack, width: int = 100) -> tuple[str, dict[str, Any]]:
    """A report on one socket whose last read had this stack, as text and as JSON. The JSON must fit the schema."""
    report = builders.report(builders.connection(last=builders.touch(Op.RECV, 1.006, 150, stack=stack), opened=None))
    found = json.loads("".join(json_report.to_text(report)))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return table.render(report, width=width, color=False), found


def test_told_in_reports(tmp_path: Path) -> None:
    """The application's frame is marked. Frames of the runtime are folded under its title. Long names are shortened."""
    stack = unwound(tmp_path, "inventvm", invented)
    stack = Stack(tuple(frame for frame in stack.frames if frame.function != "blocked"), stack.complete)
    text, found = reported(stack)
    assert "> shop/Cart.load" in text
    assert "... 2 frames of the invented machine (--all-frames shows them)" in text
    assert "vm/Loop" not in text
    assert text.splitlines()[3].split()[-1] == "Cart.load"
    (site,) = found["sites"]
    told = {frame["function"]: (frame["language"], frame["internal"]) for frame in site["stack"]}
    assert told["shop/Cart.load"] == ("invented", False)
    assert told["vm/Loop.tick"] == ("invented", True)


def test_long_names_are_cut_where_they_tell_least(tmp_path: Path) -> None:
    """The end of its names says more than the start, so they are cut at the front."""
    stack = unwound(tmp_path, "inventvm", invented)
    long = replace(stack.frames[3], function="shop/" + "x" * 60 + ".load")
    text, _ = reported(Stack((stack.frames[0], long), True), width=60)
    assert any(line.rstrip().endswith("x.load") for line in text.splitlines() if ">" in line)


def test_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot name its code, its own hint is shown once, in place of the general hint about perf maps."""
    help_line = "invented code: inventvm --names writes its names"
    silent = replace(invented.LANGUAGE, attach=lambda _target: Runtime(unnamed=help_line))
    monkeypatch.setattr(invented, "LANGUAGE", silent)
    forget()
    stack = unwound(tmp_path, "inventvm", invented)
    assert [frame.note for frame in stack.frames[2:6]].count(help_line) == 1
    assert [frame.function for frame in stack.frames[2:6]] == [None] * 4
    assert help_line in reported(stack, width=160)[0]


def test_interpreted_frames_take_the_place_of_their_loop(tmp_path: Path) -> None:
    """The addresses of the loops' entries decide. Compiled code between two loops stays."""
    stack = unwound(tmp_path, "interpreter", interpreted)
    assert names(stack) == [
        "read", "blocked", "key", "by_price", "sorted", "cheapest", "handle", "main", "main", *GLIBC_START,
    ]  # fmt: skip
    assert [frame.language for frame in stack.frames[1:8]] == [
        "native", "interpreted", "interpreted", "native", "interpreted", "interpreted", "interpreted",
    ]  # fmt: skip
    assert stack.complete
