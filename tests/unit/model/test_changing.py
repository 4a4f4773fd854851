"""Changed copies, held against dataclasses.replace()."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.builders import connection
from tracer.model.changing import changed
from tracer.model.states import TcpState


def test_the_copy_is_that_of_the_standard_library() -> None:
    """Equal to what replace() makes, of the same class, frozen like it, and the first value stays as it was."""
    first = connection(1, fin=66.0)
    other = changed(first, state=TcpState.CLOSE, rx_bytes=7)
    assert other == dataclasses.replace(first, state=TcpState.CLOSE, rx_bytes=7)
    assert first == connection(1, fin=66.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.rx_bytes = 8  # type: ignore[misc]


def test_a_field_that_is_not_there() -> None:
    """A misspelt field is an error and not a new attribute."""
    with pytest.raises(TypeError, match="Connection has no field rx_byte$"):
        changed(connection(1), rx_byte=7)
