"""A worker can import nothing once it is confined: what languages need later must have been imported by prepare()."""

from __future__ import annotations

import ast
import codecs
import subprocess
import sys
from pathlib import Path

import pytest

import tracer
import tracer.stacks

_STACKS = Path(tracer.stacks.__file__).parent
_DECODE = """
import sys
sys.path.insert(0, sys.argv[1])
from tracer.stacks.registry import prepare
prepare()
sys.path.clear(), sys.meta_path.clear()
print(repr(b"abcd".decode(sys.argv[2], "replace")))
"""


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def _encodings() -> list[str]:
    """Every literal in tracer/stacks that names an encoding; short ones ("u16") name other things."""
    found: set[str] = set()
    for path in _STACKS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 4 < len(node.value) < 20:
                found.add(node.value)
    return sorted(name for name in found if name.isprintable() and _is_text_encoding(name))


def test_it_looks_at_the_encodings_of_wide_names() -> None:
    """Else the test below would hold of nothing."""
    assert {"utf-16-le", "utf-32-le", "punycode"} <= set(_encodings())


@pytest.mark.parametrize("name", _encodings())
def test_an_encoding_can_be_used_where_nothing_can_be_imported(name: str) -> None:
    """Python imports most codecs at their first use."""
    place = str(Path(tracer.__file__).parent.parent)
    run = subprocess.run(
        [sys.executable, "-I", "-c", _DECODE, place, name], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == repr(b"abcd".decode(name, "replace")) + "\n"
