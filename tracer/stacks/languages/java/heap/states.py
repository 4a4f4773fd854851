"""How a field of a library's object tells that its connection is busy."""

from __future__ import annotations

import enum
from typing import Callable, Optional

from tracer.stacks.languages.java.heap.objects import Objects

_MOST_ATTRIBUTES = 64
_READ = 1
"""SelectionKey.OP_READ."""


class State(enum.Enum):
    """What kind of field tells.

    NUMBER, FLAG: 0 is free, 1 is busy. COUNT: more than 0 is busy. LIST: what is not empty is busy. ENUM: the first
    constant is free, the second is busy. PHASE: all constants but the first are busy. REQUEST (Tomcat): busy while a
    processor is set, or nothing is read for a next request. ATTRIBUTE (Netty): busy while an attribute refers to an
    object of this class, which is the channel's pool; without one nothing is known.
    """

    NUMBER = "number"
    FLAG = "flag"
    COUNT = "count"
    LIST = "list"
    ENUM = "enum"
    PHASE = "phase"
    REQUEST = "request"
    ATTRIBUTE = "attribute"


def is_busy(state: State, objects: Objects, address: int, names: tuple[str, ...]) -> Optional[bool]:
    """Whether the object at ``address`` is busy, by the first of the fields that it has; None if none of them tells.

    A name may be a path: ``state.value``. Raises MemoryUnreadable and Nonsense.
    """
    return _READERS[state](objects, address, names)


def _behind(objects: Objects, address: int, names: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """The object that a path ends in, and the names of its field."""
    *path, _ = names[0].split(".")
    for name in path:
        address = objects.reference(address, name) if address else 0
    return address, tuple(name.rpartition(".")[2] for name in names)


def _number(objects: Objects, address: int, names: tuple[str, ...], size: int = 4) -> Optional[int]:
    at, fields = _behind(objects, address, names)
    return objects.number(at, *fields, size=size)


def _ordinal(objects: Objects, address: int, names: tuple[str, ...]) -> Optional[int]:
    at, fields = _behind(objects, address, names)
    constant = objects.reference(at, *fields)
    return objects.number(constant, "ordinal") if constant else None


def _zero_or_one(value: Optional[int]) -> Optional[bool]:
    return bool(value) if value in (0, 1) else None


def _positive(value: Optional[int]) -> Optional[bool]:
    return None if value is None else value > 0


def _size(objects: Objects, address: int, names: tuple[str, ...]) -> Optional[int]:
    inner = objects.reference(address, *names)
    return objects.number(inner, "size") if inner else None


def _request(objects: Objects, address: int, names: tuple[str, ...]) -> Optional[bool]:
    processor, interest = names
    current = objects.reference(address, processor)
    if not current:
        return None  # Tomcat 8.5 and older
    if objects.reference(current, "value"):
        return True
    asked = objects.number(address, interest)
    return None if asked is None else not asked & _READ


def _attribute(objects: Objects, address: int, names: tuple[str, ...]) -> Optional[bool]:
    """Until Netty 4.1.5x the attributes are lists in an AtomicReferenceArray, then they are an array."""
    listed = objects.reference(address, "attributes")
    waiting = objects.elements(objects.reference(listed, "array") or listed, _MOST_ATTRIBUTES)
    for _ in range(_MOST_ATTRIBUTES):
        attribute = waiting.pop() if waiting else 0
        value = objects.reference(attribute, "value") if attribute else 0
        if value and objects.is_a(value, *names):
            return True
        following = objects.reference(attribute, "next") if attribute else 0
        waiting += [following] if following else []
    return None


_READERS: dict[State, Callable[[Objects, int, tuple[str, ...]], Optional[bool]]] = {
    State.NUMBER: lambda objects, address, names: _zero_or_one(_number(objects, address, names)),
    State.FLAG: lambda objects, address, names: _zero_or_one(_number(objects, address, names, 1)),
    State.COUNT: lambda objects, address, names: _positive(_number(objects, address, names)),
    State.LIST: lambda objects, address, names: _positive(_size(objects, address, names)),
    State.ENUM: lambda objects, address, names: _zero_or_one(_ordinal(objects, address, names)),
    State.PHASE: lambda objects, address, names: _positive(_ordinal(objects, address, names)),
    State.REQUEST: _request,
    State.ATTRIBUTE: _attribute,
}
