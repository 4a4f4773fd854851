"""Frozen values that are made by the hundred thousand: in less time and memory than by their own constructor.

A field that has its default value is not kept in the value: Python then takes it from the class. A connection has some
50 fields, most of them at their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_NO_DEFAULT = object()


def made(kind: type[T], **fields: Any) -> T:
    """Return ``kind(**fields)``, which must have no ``__post_init__`` and no ``__slots__``.

    Raises TypeError for a field that it does not have. All fields without a default must be given.
    """
    default = vars(kind).get
    return _with({name: value for name, value in fields.items() if value is not default(name, _NO_DEFAULT)}, kind)


def changed(value: T, **fields: object) -> T:
    """Return ``value`` with other ``fields``, as dataclasses.replace() does, in a tenth of its time.

    ``value`` is of a dataclass without ``__post_init__`` and ``__slots__``. Raises TypeError for a field that it does
    not have.
    """
    values = vars(value).copy()
    values.update(fields)
    return _with(values, type(value))


def _with(values: dict[str, Any], kind: type[T]) -> T:
    known: dict[str, Any] = vars(kind)["__dataclass_fields__"]
    if not values.keys() <= known.keys():
        raise TypeError(f"{kind.__name__} has no field {', '.join(values.keys() - known.keys())}")
    value = object.__new__(kind)
    object.__setattr__(value, "__dict__", values)
    return value


def taken(values: list[T]) -> Iterator[T]:
    """Each of ``values`` in its order, and leave the list empty: what is made of a value can take its place in memory.

    A list of a hundred thousand connections is large: there should not be a second one beside it.
    """
    values.reverse()
    while values:
        yield values.pop()
