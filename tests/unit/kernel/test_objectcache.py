"""The cache of compiled programs: when it answers, and when it must not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from tracer.errors import HostUnsupported
from tracer.kernel.objectcache import compiled
from tracer.kernel.objectcode import MapSpec, ObjectCode


class Compiler:
    """Counts what it is asked for; the result tells the text's length."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str, _: Optional[Path]) -> ObjectCode:
        self.asked.append(text)
        return ObjectCode((MapSpec("m", 1, 4, 4, len(text), 0),), {"f": b"\0" * 8})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A header tree as headers.py leaves it."""
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o700)
    return tree


def test_the_same_text_is_compiled_once(tree: Path) -> None:
    """Another text is compiled by itself, and both answers stay right."""
    compiler = Compiler()
    answers = [compiled(text, tree, compiler).maps[0].entries for text in ("a", "bb", "a", "bb")]
    assert answers == [1, 2, 1, 2]
    assert compiler.asked == ["a", "bb"]


def test_nothing_is_kept_for_installed_headers() -> None:
    """Their version is not known here."""
    compiler = Compiler()
    for _ in range(2):
        compiled("a", None, compiler)
    assert compiler.asked == ["a", "a"]


def test_a_directory_that_others_may_write_is_not_believed(tree: Path) -> None:
    """Its content would be loaded into the kernel."""
    compiler = Compiler()
    compiled("a", tree, compiler)
    (tree / "programs").chmod(0o777)
    compiled("a", tree, compiler)
    assert compiler.asked == ["a", "a"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"maps": [], "programs": 3}', '{"maps": [{}], "programs": 1}'])
def test_a_damaged_entry_is_made_again(tree: Path, damage: str) -> None:
    """A full disk, a crash: compiled anew, and mended."""
    compiler = Compiler()
    compiled("a", tree, compiler)
    (entry,) = (tree / "programs").iterdir()
    entry.write_text(damage)
    for _ in range(2):
        assert compiled("a", tree, compiler).maps[0].entries == 1
    assert compiler.asked == ["a", "a"]


def test_no_room_is_no_error(tree: Path) -> None:
    """Where the cache cannot be written, every run compiles."""
    (tree / "programs").write_text("not a directory")
    compiler = Compiler()
    for _ in range(2):
        assert compiled("a", tree, compiler).maps[0].entries == 1
    assert compiler.asked == ["a", "a"]


def test_the_cache_stays_small(tree: Path) -> None:
    """The oldest go."""
    compiler = Compiler()
    for number in range(40):
        compiled(str(number), tree, compiler)
    kept = list((tree / "programs").iterdir())
    assert len(kept) == 32
    compiled("39", tree, compiler)
    assert len(compiler.asked) == 40


def test_a_compilers_refusal_passes(tree: Path) -> None:
    """And leaves nothing that a later run would take for an answer."""

    def refuse(text: str, _: Optional[Path]) -> ObjectCode:
        raise HostUnsupported(text)

    with pytest.raises(HostUnsupported):
        compiled("a", tree, refuse)
    assert not os.path.exists(tree / "programs")
