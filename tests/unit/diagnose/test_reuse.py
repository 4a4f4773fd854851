"""Oracle: how pools work. One that gets its connections back opens another only while all it has are in use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import START, S, accepted, actor, connection, stack, touch
from tracer.diagnose.reuse import marked
from tracer.model.connection import Connection, Endpoint
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op

DIALED = stack("dial", "fetch", "main")


def used(serial: int, at: float, last: float, fin: float = 66.0, dialed: Stack = DIALED, **more: Any) -> Connection:
    """A connection opened at, answered last, and hung up at these seconds."""
    by = actor(100, more.pop("tid", 100))
    facts: dict[str, Any] = {
        "opened": touch(Op.CONNECT, at, 0, stack=dialed, actor=by),
        "last": touch(more.pop("op", Op.RECV), last, 150, actor=by),
    }
    return connection(serial, fin=fin, **{**facts, **more})


def leaked(count: int = 6, **more: Any) -> list[Connection]:
    """One after the other: each answered, and none used again."""
    return [used(i, 1.0 + i, 1.5 + i, **more) for i in range(count)]


def verdicts(connections: list[Connection]) -> set[Any]:
    return {c.never_reused for c in marked(connections)}


def test_never_given_back() -> None:
    """Each opened while the ones before lay idle: true of the whole group, the first included."""
    assert verdicts(leaked()) == {True}


def test_a_true_pool() -> None:
    """Six in use at the same time, then all idle."""
    assert verdicts([used(i, 1.0 + i / 10, 5.0 + i) for i in range(6)]) == {False}


def test_a_pool_that_replaces_what_the_peer_closed() -> None:
    """Opened anew after FIN had come to the older one: nothing lay idle and alive."""
    assert verdicts([used(i, 1.0 + 20 * i, 2.0 + 20 * i, fin=12.0 + 20 * i) for i in range(6)]) == {False}


@pytest.mark.parametrize(("op", "expected"), [(Op.SEND, False), (Op.RECV, True)])
def test_waiting_for_an_answer_is_not_idle(op: Op, expected: bool) -> None:
    """Whose request has no answer yet cannot be used again."""
    assert verdicts(leaked(op=op)) == {expected}


def test_one_of_many_is_chance() -> None:
    """Two clients, each with a pool of its own: one connection of six was opened beside an idle one."""
    assert verdicts([used(0, 1.0, 1.5), *(used(i, 2.0 + i / 10, 9.0) for i in range(1, 6))]) == {False}


def test_each_thread_may_have_its_own() -> None:
    """Threads with a client each do not reuse each other's; goroutines are not bound to a thread."""
    one_each = [used(i, 1.0 + i, 1.5 + i, tid=101 + i) for i in range(6)]
    assert verdicts(one_each) == {False}
    frames = Stack((Frame("net/http.(*Transport).dialConn", "app", language="go"),), True)
    gone = [used(i, 1.0 + i, 1.5 + i, tid=101 + i, dialed=frames) for i in range(6)]
    assert verdicts(gone) == {True}


def test_groups_do_not_mix() -> None:
    """Another remote or another opener is another group."""
    assert verdicts([used(i, 1.0 + i, 1.5 + i, remote=Endpoint("10.0.0.1", 80 + i)) for i in range(6)]) == {False}
    openers = [stack(f"client_{i}", "main") for i in range(6)]
    assert verdicts([used(i, 1.0 + i, 1.5 + i, dialed=openers[i]) for i in range(6)]) == {False}


def test_pools_that_fill_themselves_say_nothing() -> None:
    """HikariCP opens its connections in advance: that they lie idle is what they are for."""
    hikari = Stack((Frame("com.zaxxer.hikari.pool.PoolBase.newConnection", None, language="java"),), True)
    group = leaked(dialed=hikari)
    assert verdicts(group) == {None}


@pytest.mark.parametrize("facts", [{"preexisting": True}, {"unseen": ("receive",)}, {"opened_late": True}])
def test_what_was_not_seen_whole_says_nothing(facts: dict[str, Any]) -> None:
    """Calls that may be missing leave the question open."""
    assert verdicts(leaked(**facts)) == {None}
    assert {c.never_reused for c in marked([accepted(i) for i in range(6)])} == {None}


def test_those_told_before_count() -> None:
    """Connections that were looked at earlier, or are gone, belong to the group."""
    first, *rest = leaked(3)
    assert [c.never_reused for c in marked([first], rest)] == [True]
    assert [c.never_reused for c in marked([first])] == [False]


def test_many_are_quick() -> None:
    """10,000 of one group take no time to speak of."""
    group = [used(i, 1.0 + i / 1000, 1.0005 + i / 1000) for i in range(10_000)]
    assert len(marked(group)) == 10_000
    assert group[0].fin_ns == START + 66 * S
