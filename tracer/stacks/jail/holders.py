"""What is asked about holders of sockets and what is answered, as JSON, and back; the answer checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

from tracer.model.holder import Held, Limits, Lineage, Link, Missing, Root, RootKind, SocketAt, Use
from tracer.stacks.jail.forms import Implausible

_MOST_LINKS, _LONGEST_TEXT = 256, 1024

E = TypeVar("E", bound=Enum)


def asked(wanted: Sequence[SocketAt], limits: Limits) -> dict[str, Any]:
    """The question."""
    sockets = [[one.fd, one.local_port, one.remote_port, one.waits] for one in wanted]
    return {"sockets": sockets, "limits": [limits.seconds, limits.heap_bytes, limits.scans]}


def wanted_from_json(head: dict[str, Any]) -> tuple[list[SocketAt], Limits]:
    """The question again, in the worker."""
    return [SocketAt(*one) for one in head["sockets"]], Limits(*head["limits"])


def held_to_json(held: Held) -> dict[str, Any]:
    """The answer."""
    return {
        "lineages": [_lineage_to_json(one) for one in held.lineages],
        "note": held.note[:_LONGEST_TEXT],
        "heap_bytes": held.heap_bytes,
        "scans": held.scans,
        "collector": held.collector,
    }


def _lineage_to_json(one: Lineage) -> dict[str, Any]:
    return {
        "fd": one.fd,
        "links": [[link.holder, link.field, link.own, link.inner, link.function] for link in one.links],
        "root": None if one.root is None else [one.root.kind.value, one.root.name, one.root.own],
        "library": one.library,
        "use": None if one.use is None else one.use.value,
        "missing": None if one.missing is None else one.missing.value,
        "beside": one.beside[:_LONGEST_TEXT],
    }


def held_from_json(values: object, wanted: Sequence[SocketAt]) -> Held:
    """The answer again, about these sockets alone. Raises Implausible."""
    lineages = _of(values, "lineages", list)
    if len(lineages) > len(wanted):
        raise Implausible
    found = tuple(map(_lineage, lineages))
    if not {one.fd for one in found} <= {one.fd for one in wanted}:
        raise Implausible
    return Held(
        found,
        _text(_of(values, "note", str)),
        _of(values, "heap_bytes", int),
        _of(values, "scans", int),
        _text(_of(values, "collector", str)),
    )


def _lineage(values: object) -> Lineage:
    links, root = _of(values, "links", list), _of(values, "root", (list, type(None)))
    if len(links) > _MOST_LINKS:
        raise Implausible
    use, missing = (_of(values, name, (str, type(None))) for name in ("use", "missing"))
    return Lineage(
        _of(values, "fd", int),
        tuple(map(_link, links)),
        None if root is None else _root(root),
        _text(_of(values, "library", str)),
        None if use is None else _one_of(Use, use),
        None if missing is None else _one_of(Missing, missing),
        _text(_of(values, "beside", str)),
    )


def _of(values: object, name: str, kind: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(values.get(name), kind):
        raise Implausible
    return values[name]


def _link(values: object) -> Link:
    if not isinstance(values, list) or len(values) != 5:
        raise Implausible
    holder, field, own, inner, function = values
    return Link(_text(holder), _text(field), _flag(own), _flag(inner), _flag(function))


def _root(values: object) -> Root:
    if not isinstance(values, list) or len(values) != 3:
        raise Implausible
    kind, name, own = values
    return Root(_one_of(RootKind, kind), _text(name), _flag(own))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Implausible
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise Implausible
    return value


def _one_of(kind: type[E], value: Any) -> E:
    try:
        return kind(value)
    except ValueError:
        raise Implausible from None
