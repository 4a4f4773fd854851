"""All knowledge about a language is in the folder of that language. The rest of the code names no language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.stacks import registry

PACKAGE = Path(registry.__file__).parents[1]
ALLOWED = ("stacks/languages/", "stacks/registry.py", "diagnose/libraries.py", "host/programs.py")
TELLING = re.compile(
    r"java|jvm|jdk|hotspot|golang|goexit|gopclntab|(?<![a-z])rust|cpython|libpython|nodejs|libnode|javascript"
    r"|perf_?map|(?<![a-z])ruby|erlang|dotnet|stacks[.]languages",
    re.IGNORECASE,
)
"""Forbidden in names and texts of the program."""
WORDS = re.compile(r"\b(Java|JVM|HotSpot|Go's|goexit|goroutines?|Rust|CPython|Node\.js|JavaScript)\b")
"""Forbidden in comments of ``stacks/``, which is about all languages."""


def sources(below: Path = PACKAGE) -> list[Path]:
    found = [path for path in below.rglob("*.py") if not str(path.relative_to(PACKAGE)).startswith(ALLOWED)]
    assert len(found) > 20
    return sorted(found)


def short_names() -> set[str]:
    """Names that are also ordinary words. They count only as whole texts (``language == "go"``)."""
    languages = registry.all_languages()
    names = {language.name for language in languages} | {module.rpartition(".")[2] for module in registry.MODULES}
    return names - {"native"} | {language.title for language in languages if language.title}


def words(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Names and texts of a module, without docstrings, as (line, word, whether it is a text)."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str):
                yield node.lineno, text, True
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id, False
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr, False
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name, False
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "", False
            yield from ((node.lineno, alias.name, False) for alias in node.names)


def offences(source: str) -> list[tuple[int, str]]:
    names = short_names()
    return [
        (line, word)
        for line, word, is_text in words(ast.parse(source))
        if (is_text and word in names) or TELLING.search(word)
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_code_knows_a_language(path: Path) -> None:
    """No name and no text in the code names a language."""
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sources(PACKAGE / "stacks"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_comment_explains_the_walk_by_a_language(path: Path) -> None:
    """A reader of ``stacks/`` outside of the languages does not have to know any language."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if WORDS.search(line)] == []


@pytest.mark.parametrize(
    "source",
    [
        'if frame.language == "go": pass',
        'titles = {"java": "the JDK"}',
        "from tracer.stacks.languages.go import pclntab",
        "from tracer.stacks.languages.rust.v0 import demangle_v0",
        "def find_hotspot(): pass",
        'known = path.endswith("/libjvm.so")',
        'section = sections.get(b".gopclntab")',
        'end = name == "runtime.goexit"',
        'title = "Go\'s runtime"',
    ],
)
def test_the_rule_finds_such_code(source: str) -> None:
    """The rule finds each way in which other code knew languages before."""
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    ['"""Java."""', "def go(): pass", "node = Node()", 'raise Missing("install python3-bpfcc")', "# the JDK"],
)
def test_the_rule_leaves_other_words_alone(source: str) -> None:
    """The rule accepts ordinary words that are also names of languages."""
    assert offences(source) == []
