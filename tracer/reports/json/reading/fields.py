"""Values of a JSON document, each checked for its type and size. What is not as it should be is told with its place."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import Any, Callable, Optional, TypeVar

from tracer.errors import ClosetraceError

MOST = 1 << 63
"""No number is larger: not one of nanoseconds, bytes or cookies (those are stored below it or taken as they are)."""
_LONGEST = 1 << 16
"""Characters of one string."""

E = TypeVar("E", bound=enum.Enum)
T = TypeVar("T")


class BadReport(ClosetraceError):
    """A file is no report that closetrace wrote. The message says which value is wrong."""


class Fields:
    """One object of the document. ``where`` is its place: ``sites[2].stack[0]``."""

    __slots__ = ("_values", "where")

    def __init__(self, value: object, where: str) -> None:
        """Raise BadReport if ``value`` is no object."""
        if not isinstance(value, dict):
            raise BadReport(f"{where or 'the document'} is not an object")
        self._values: dict[str, Any] = value
        self.where = where

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key) is not None

    def _bad(self, key: str, what: str) -> BadReport:
        place = f"{self.where}.{key}" if self.where else key
        return BadReport(f"{place} is {'missing' if self._values.get(key) is None else f'not {what}'}")

    def text(self, key: str, default: Optional[str] = None) -> str:
        """A string of at most 64 KiB characters. Missing without ``default`` is an error."""
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._bad(key, "a string")
        if len(value) > _LONGEST:
            raise self._bad(key, f"a string of at most {_LONGEST} characters")
        return value

    def maybe_text(self, key: str) -> Optional[str]:
        """The same, None if it is missing."""
        return self.text(key) if self.has(key) else None

    def whole(self, key: str, default: Optional[int] = None) -> int:
        """A whole number. Missing without ``default`` is an error."""
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not -MOST <= value < 2 * MOST:
            raise self._bad(key, "a whole number")
        return value

    def maybe_whole(self, key: str) -> Optional[int]:
        """The same, None if it is missing."""
        return self.whole(key) if self.has(key) else None

    def count(self, key: str, default: int = 0) -> int:
        """A whole number that is not negative."""
        value = self.whole(key, default)
        if value < 0:
            raise self._bad(key, "a count")
        return value

    def number(self, key: str, default: Optional[float] = None) -> float:
        """A number that can be nanoseconds when it is in seconds. Missing without ``default`` is an error."""
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 9e9:
            raise self._bad(key, "a number")
        assert not math.isnan(value)
        return float(value)

    def ns(self, key: str) -> int:
        """Seconds as nanoseconds."""
        return round(self.number(key) * 1e9)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        found = self.maybe(key)
        return default if found is None else found

    def maybe(self, key: str) -> Optional[bool]:
        """True, false or null."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._bad(key, "true or false")
        return value

    def one_of(self, key: str, kind: type[E]) -> E:
        """A member of an enumeration by its value."""
        try:
            return kind(self.text(key))
        except ValueError:
            raise self._bad(key, f"one that this version knows: {self.text(key)[:40]!r}") from None

    def named(self, key: str, names: dict[str, T]) -> T:
        """What a name stands for."""
        found = names.get(self.text(key))
        if found is None:
            raise self._bad(key, f"one that this version knows: {self.text(key)[:40]!r}")
        return found

    def part(self, key: str) -> Fields:
        """An object within this one; empty if it is missing."""
        return Fields(self._values.get(key) or {}, self._at(key))

    def parts(self, key: str) -> Iterator[Fields]:
        """The objects in a list; none if it is missing."""
        for index, value in enumerate(self.items(key)):
            yield Fields(value, f"{self._at(key)}[{index}]")

    def items(self, key: str) -> list[Any]:
        """A list; empty if it is missing."""
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._bad(key, "a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        found = tuple(self.items(key))
        if not all(isinstance(one, str) and len(one) <= _LONGEST for one in found):
            raise self._bad(key, "a list of strings")
        return found

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def several(values: Iterator[Fields], make: Callable[[Fields], T]) -> tuple[T, ...]:
    """``make`` of each."""
    return tuple(make(one) for one in values)
