"""Frozen values without a dict of their own: less memory where there are hundreds of thousands."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar, cast

T = TypeVar("T")


def slotted(kind: type[T]) -> type[T]:
    """Return the dataclass ``kind`` with ``__slots__``, as ``dataclass(slots=True)`` does since Python 3.10.

    It has no bases with fields, and its values are not pickled.
    """
    names = tuple(one.name for one in fields(cast(Any, kind)))
    left_out = {*names, "__dict__", "__weakref__"}  # defaults are in __init__ already
    members = {name: value for name, value in vars(kind).items() if name not in left_out}
    made = type(kind.__name__, kind.__bases__, {**members, "__slots__": names})
    made.__qualname__ = kind.__qualname__
    return cast("type[T]", made)
