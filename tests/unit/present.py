"""What a test takes to be there."""

from __future__ import annotations

from typing import Optional, TypeVar

T = TypeVar("T")


def present(value: Optional[T]) -> T:
    """The value itself. Raises AssertionError where it is None."""
    assert value is not None
    return value
