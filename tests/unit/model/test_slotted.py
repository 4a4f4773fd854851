"""Frozen values with slots: as before, but without a dict."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from tracer.model.changing import changed
from tracer.model.slotted import slotted


@slotted
@dataclass(frozen=True)
class Pair:
    """Two numbers."""

    first: int
    second: int = 2

    @property
    def sum(self) -> int:
        """Of both."""
        return self.first + self.second


def test_a_value_is_as_it_was() -> None:
    """Defaults, equality, hash, text, replace() and what is computed."""
    one = Pair(1)
    assert (one.second, one.sum, repr(one)) == (2, 3, "Pair(first=1, second=2)")
    assert one == Pair(1, 2) != Pair(1, 3)
    assert hash(one) == hash(Pair(1, 2))
    assert replace(one, second=5) == Pair(1, 5)
    assert (Pair.__doc__, Pair.__module__) == ("Two numbers.", __name__)


def test_its_arguments_are_those_of_the_dataclass() -> None:
    """By place or by name; what is missing, unknown or given twice is an error."""
    assert Pair(1, 5) == Pair(first=1, second=5) == Pair(1, second=5)
    for wrong in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            Pair(*wrong)
    with pytest.raises(TypeError):
        Pair(1, third=3)  # type: ignore[call-arg]


@slotted
@dataclass(frozen=True)
class Named:
    """Fields with the names that a function of its own might use."""

    new: int
    value: int = 2
    cls: int = 3
    kind: int = 4
    draft: int = 5
    self: int = 6
    defaults: int = 7


def test_fields_may_have_any_name() -> None:
    """They are in nobody's way."""
    assert repr(Named(1, kind=9)) == "Named(new=1, value=2, cls=3, kind=9, draft=5, self=6, defaults=7)"
    assert changed(Named(1), self=8) == Named(1, self=8)


def test_it_has_no_dict_and_stays_frozen() -> None:
    """So nothing can be added, and nothing changed."""
    one = Pair(1)
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError):
        one.first = 3  # type: ignore[misc]
