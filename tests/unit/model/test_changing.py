"""Changed copies, held against dataclasses.replace()."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.builders import connection
from tracer.model.changing import changed, drafted, frozen, taken
from tracer.model.connection import Connection
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


def test_what_is_drafted_is_frozen_again() -> None:
    """The fields of a draft can be set, and no other; the value that it becomes is as the constructor's."""
    first = connection(1, rx_bytes=7, passive=None, holders=())
    draft = drafted(first)
    draft.rx_bytes, draft.passive = 8, True
    with pytest.raises(AttributeError):
        draft.rx_byte = 9
    other = frozen(draft, Connection)
    assert other == dataclasses.replace(first, rx_bytes=8, passive=True)
    assert hash(other) == hash(dataclasses.replace(first, rx_bytes=8, passive=True))
    assert first == connection(1, rx_bytes=7, passive=None, holders=())
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.rx_bytes = 8  # type: ignore[misc]


def test_what_is_taken_is_left_out_at_once() -> None:
    """In the list's order."""
    values = [1, 2, 3]
    each = taken(values)
    assert next(each) == 1
    assert sorted(values) == [2, 3]
    assert list(each) == [2, 3]
    assert values == []
