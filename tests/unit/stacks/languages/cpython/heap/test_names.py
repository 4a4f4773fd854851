"""Which keys of dicts are shown."""

from __future__ import annotations

import pytest

from tracer.stacks.languages.cpython.heap.names import shown_key


@pytest.mark.parametrize(
    "key", ["billing", "_acquired", "http://", "https://", "db.example", "db.example:5432", "localhost"]
)
def test_identifiers_and_hosts_are_shown(key: str) -> None:
    """They are names of the program's own, or where it connects to."""
    assert shown_key(key) == f"[{key}]"


@pytest.mark.parametrize(
    "key",
    ["", "user 7", "a@b.example", "sk-5f2e9a", "5f2e9a0c", "tok_5f2e9a0c", "http://u:p@db.example", "x" * 41, "é"],
)
def test_whatever_else_may_be_data_is_not(key: str) -> None:
    """Not even its length is told."""
    assert shown_key(key) == "[]"
