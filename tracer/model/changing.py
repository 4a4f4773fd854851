"""Copies of frozen values with some fields changed, for values that are made by the thousand."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def changed(value: T, **fields: object) -> T:
    """Return ``value`` with other ``fields``, as dataclasses.replace() does, in a tenth of its time.

    ``value`` is of a dataclass without ``__post_init__`` and ``__slots__``. Raises TypeError for a field that it does
    not have.
    """
    values = vars(value).copy()
    values.update(fields)
    if len(values) != len(vars(value)):
        raise TypeError(f"{type(value).__name__} has no field {', '.join(fields.keys() - vars(value).keys())}")
    copy = object.__new__(type(value))
    object.__setattr__(copy, "__dict__", values)
    return copy
