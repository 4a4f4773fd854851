"""Whoever reads the code finds words where a module, class or function is explained, not a placeholder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Union

import pytest

ROOT = Path(__file__).resolve().parents[2]
Explained = Union[ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef]
FEWEST_WORDS = 2


def files(package: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py"))


def parts(file: str) -> Iterator[tuple[str, Explained]]:
    """The module, and by their dotted names all its classes and functions but those inside functions."""
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    yield "", module
    waiting: list[tuple[str, Explained]] = [("", module)]
    while waiting:
        name, owner = waiting.pop()
        for node in owner.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                full = f"{name}.{node.name}".lstrip(".")
                yield full, node
                if isinstance(node, ast.ClassDef):
                    waiting.append((full, node))


def too_short(text: str) -> bool:
    """Whether it says nothing: "", ".", "Nothing." or another single word."""
    return len(re.findall(r"\w+", text)) < FEWEST_WORDS


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


@pytest.mark.parametrize("file", files("tracer"))
def test_everything_public_is_explained(file: str) -> None:
    """Every module, public class and public function of the program has a docstring of some words."""
    found = [name or "the module" for name, node in parts(file) if is_public(name) and not ast.get_docstring(node)]
    assert found == []


@pytest.mark.parametrize("package", ["tracer", "tests", "docs", "vagrant"])
def test_no_docstring_is_a_placeholder(package: str) -> None:
    """Private ones and those of tests need not be there, but where they are they say something."""
    found = [
        f"{file}:{getattr(node, 'lineno', 1)} {name}"
        for file in files(package)
        for name, node in parts(file)
        if (text := ast.get_docstring(node)) is not None and too_short(text)
    ]
    assert found == []


def test_every_test_says_what_it_holds_true() -> None:
    """A test's docstring is the sentence that is broken when it fails; every file of tests has one of its own."""
    found = [
        f"{file} {name}"
        for file in files("tests")
        if Path(file).name.startswith("test_")
        for name, node in parts(file)
        if (not name or name.split(".")[-1].startswith("test_")) and not ast.get_docstring(node)
    ]
    assert found == []


@pytest.mark.parametrize(("text", "short"), [("", True), (".", True), ("Nothing.", True), ("Port number.", False)])
def test_what_counts_as_words(text: str, short: bool) -> None:
    """A full stop or a single word explains nothing."""
    assert too_short(text) is short
