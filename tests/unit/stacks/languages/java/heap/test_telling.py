"""The holder of which a rule knows something is preferred, and the nearest of several."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.unit.stacks.languages.java.heap.invented import FORMS, Invented
from tracer.model.holder import Use
from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.rules import RULES, Rule, use_of
from tracer.stacks.languages.java.heap.states import State, is_busy
from tracer.stacks.languages.java.heap.telling import Telling


class _Names:
    """The first field of a pool has the leased ones, the second the idle ones."""

    def offset(self, klass: Klass, name: str) -> int:
        return klass.references[("leased", "available").index(name)] if klass.references else -1


class _Classes:
    def __init__(self, *classes: Klass) -> None:
        self._classes = classes

    def with_super(self, name: str) -> list[Klass]:
        return [one for one in self._classes if one.name == name]


def _never(rule: Rule, reference: int) -> bool:
    """No object has an attribute."""
    return False


def test_the_pools_set_tells() -> None:
    """Each socket is led up to the set that has it, though the program holds both by a shorter way."""
    heap = Invented(FORMS["narrow"])
    descriptor, entry = heap.klass("java.io.FileDescriptor"), heap.klass("Entry", 1)
    pool, table = heap.klass("org.apache.http.pool.AbstractConnPool", 2), heap.klass("T", array=True)
    busy, idle, plain = (heap.put(descriptor) for _ in range(3))
    one, other = heap.put(entry, busy), heap.put(entry, idle)
    pooled = heap.put(pool, heap.put(table, one), heap.put(table, other))
    root = heap.put(table, pooled, busy, idle, plain)
    content = heap.content()
    reach = heap.reach(content, heap.noted(content, descriptor))
    reach.roots(heap.stored(content, root))
    live = reach.live_edges()
    wanted = heap.stored(content, busy, idle, plain)
    telling = Telling(content, _Classes(pool), _Names(), live, wanted, _never)  # type: ignore[arg-type]
    for address, use in ((busy, Use.LEASED), (idle, Use.IDLE)):
        path = telling.path(heap.reference(address))
        assert path is not None
        places, rule = path
        assert rule.use is use
        assert content.decoded(live.parents[places]).tolist()[-1] == pooled
    assert telling.path(heap.reference(plain)) is None
    heap.close()


class _Objects:
    """Objects by address, each with its fields: numbers, or addresses of others. "[]" has the elements of an array."""

    def __init__(self, objects: dict[int, dict[str, Any]]) -> None:
        self._objects = objects

    def number(self, address: int, *names: str, size: int = 4) -> Optional[int]:
        assert size in (1, 4)
        fields = self._objects.get(address, {})
        return next((fields[name] for name in names if name in fields), None)

    def reference(self, address: int, *names: str) -> int:
        return self.number(address, *names) or 0

    def elements(self, address: int, most: int) -> list[int]:
        found: list[int] = self._objects.get(address, {}).get("[]", [])
        return found[:most]

    def is_a(self, address: int, *names: str) -> bool:
        return self._objects[address].get("class") in names


def _busy(state: State, objects: dict[int, dict[str, Any]], *names: str) -> Optional[bool]:
    return is_busy(state, _Objects(objects), 1, names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "busy"),
    [
        (State.NUMBER, [False, True, None, None]),
        (State.FLAG, [False, True, None, None]),
        (State.COUNT, [False, True, True, False]),
    ],
)
def test_a_number_tells(state: State, busy: list[Optional[bool]]) -> None:
    """Of the object itself, or of one that it refers to."""
    assert [_busy(state, {1: {"state": value}}, "none", "state") for value in (0, 1, 2, -1)] == busy
    assert [_busy(state, {1: {"state": 2}, 2: {"value": v}}, "state.value") for v in (0, 1, 2, -1)] == busy
    assert _busy(state, {1: {"state": 0}}, "state.value") is None


@pytest.mark.parametrize(
    ("state", "field", "busy"),
    [
        (State.LIST, "size", [False, True, True]),
        (State.ENUM, "ordinal", [False, True, None]),
        (State.PHASE, "ordinal", [False, True, True]),
    ],
)
def test_another_object_tells(state: State, field: str, busy: list[Optional[bool]]) -> None:
    """A list by its size, a constant by its place."""
    assert [_busy(state, {1: {"state": 2}, 2: {field: value}}, "state") for value in (0, 1, 2)] == busy
    assert _busy(state, {1: {"state": 0}}, "state") is None


@pytest.mark.parametrize(
    ("processor", "interest", "busy"), [(9, 0, True), (9, 1, True), (0, 0, True), (0, 1, False), (0, 5, False)]
)
def test_a_request_of_tomcat(processor: int, interest: int, busy: bool) -> None:
    """An asynchronous one and a WebSocket have a processor; while a thread works on one nothing is read."""
    objects = {1: {"currentProcessor": 2, "interestOps": interest}, 2: {"value": processor}}
    assert _busy(State.REQUEST, objects, "currentProcessor", "interestOps") is busy
    assert _busy(State.REQUEST, {1: {"interestOps": interest}}, "currentProcessor", "interestOps") is None


@pytest.mark.parametrize("old", [True, False])
def test_an_attribute_of_netty(old: bool) -> None:
    """In a list of attributes or in an array; a channel that was given back has it no more."""
    channel = {"attributes": 2}
    objects: dict[int, dict[str, Any]] = {1: channel, 3: {"[]": [0, 4, 5]}, 4: {"value": 0}, 5: {"value": 8}}
    if old:
        objects[2] = {"array": 3}
        objects[3]["[]"] = [0, 4]
        objects[4]["next"] = 5
    else:
        channel["attributes"] = 3
    objects[8] = {"class": "io.netty.Pool"}
    assert _busy(State.ATTRIBUTE, objects, "io.netty.Pool") is True
    objects[5]["value"] = 0
    assert _busy(State.ATTRIBUTE, objects, "io.netty.Pool") is None


def test_what_a_rule_says_of_an_object() -> None:
    """As its words are: of a pool, or of a server."""
    objects = _Objects({1: {"state": 1}, 2: {"state": 0}, 3: {"state": 7}})
    for busy, free in ((Use.LEASED, Use.IDLE), (Use.SERVING, Use.WAITING)):
        rule = Rule("Library", "Holder", "*", None, State.NUMBER, ("state",), busy, free)
        assert [use_of(rule, objects, address) for address in (1, 2, 3)] == [busy, free, None]  # type: ignore[arg-type]


def test_rules_are_told_apart() -> None:
    """No two are about the same field, and each says something."""
    assert len({(rule.holder, rule.field) for rule in RULES}) == len(RULES)
    assert all((rule.use is None) == (rule.state is not None) for rule in RULES)
