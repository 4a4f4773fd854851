"""Where a greenlet's stack begins."""

from __future__ import annotations

from typing import Optional

import pytest

from tracer.stacks.languages.cpython import LANGUAGE

LIBRARY = "_greenlet.cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    ("module", "function", "starts"),
    [
        (LIBRARY, "greenlet::UserGreenlet::g_initialstub(void*)", True),
        ("greenlet.cpython-39-x86_64-linux-gnu.so", "g_initialstub", True),
        (LIBRARY, None, True),
        (LIBRARY, "greenlet::UserGreenlet::inner_bootstrap(_greenlet*, _object*)", False),
        ("libother.so", "g_initialstub", False),
        ("libother.so", None, False),
        ("_cgreenlet.cpython-311-x86_64-linux-gnu.so", None, False),
    ],
)
def test_a_greenlet_begins_in_its_first_own_code(module: str, function: Optional[str], starts: bool) -> None:
    """By name; in a library without symbols by the library, in which no system call is made."""
    assert LANGUAGE.starts_coroutine(module, function) is starts
