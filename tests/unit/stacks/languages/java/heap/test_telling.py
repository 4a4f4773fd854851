"""The holder of which a rule knows something is preferred, and the nearest of several."""

from __future__ import annotations

from tests.unit.stacks.languages.java.heap.invented import FORMS, Invented
from tracer.model.holder import Use
from tracer.stacks.languages.java.heap.classes import Klass
from tracer.stacks.languages.java.heap.rules import RULES, Rule, State, use_of
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
    telling = Telling(content, _Classes(pool), _Names(), live, heap.stored(content, busy, idle, plain))  # type: ignore[arg-type]
    for address, use in ((busy, Use.LEASED), (idle, Use.IDLE)):
        path = telling.path(heap.reference(address))
        assert path is not None
        places, rule = path
        assert rule.use is use
        assert content.decoded(live.parents[places]).tolist()[-1] == pooled
    assert telling.path(heap.reference(plain)) is None
    heap.close()


class _Objects:
    """One object with one field that has a number."""

    def __init__(self, value: int) -> None:
        self._value = value

    def number(self, address: int, *names: str, size: int = 4) -> int:
        assert (address, size in (1, 4)) == (names in (("ordinal",), ("size",)) and 8 or 16, True)
        return self._value

    def reference(self, address: int, *names: str) -> int:
        assert names
        return address - 8


def test_states_of_one_object() -> None:
    """0 is idle and 1 leased; of a list any number is leased; any other number says nothing."""
    for state in State:
        rule = Rule("Library", "Holder", "*", None, state, ("state",))
        seen = [use_of(rule, _Objects(value), 16) for value in (0, 1, 2, -1)]  # type: ignore[arg-type]
        many = Use.LEASED if state is State.LIST else None
        assert seen == [Use.IDLE, Use.LEASED, many, Use.IDLE if state is State.LIST else None]


def test_rules_are_told_apart() -> None:
    """No two are about the same field, and each says something."""
    assert len({(rule.holder, rule.field) for rule in RULES}) == len(RULES)
    assert all((rule.use is None) == (rule.state is not None) for rule in RULES)
