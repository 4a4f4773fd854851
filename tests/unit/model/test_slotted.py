"""Frozen values with slots: as before, but without a dict."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

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


def test_it_has_no_dict_and_stays_frozen() -> None:
    """So nothing can be added, and nothing changed."""
    one = Pair(1)
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError):
        one.first = 3  # type: ignore[misc]
