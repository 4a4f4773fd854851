"""Who has a socket through exec, on this process and its descriptors: it began long before any time that is told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from tests.unit.builders import actor, connection
from tracer.host.thread_times import began_ns
from tracer.model.changing import changed
from tracer.model.connection import Connection, Holder, Touch
from tracer.model.frame import LastExec
from tracer.model.states import Op
from tracer.session.execs import Execs, unknown

ME = os.getpid()
BEGAN_NS = began_ns(ME, ME) or 0
NOW_NS = time.monotonic_ns()
BORN_NS = (BEGAN_NS + NOW_NS) // 2
CALLED_NS, EXEC_NS, LATER_NS = BORN_NS + 1, BORN_NS + 2, BORN_NS + 3
"""In this order, all in the life of this process."""


@pytest.fixture
def own() -> Iterator[socket.socket]:
    with socket.socket() as made:
        os.set_inheritable(made.fileno(), True)
        yield made


def call(ns: int, pid: int = ME, op: Op = Op.RECV) -> Touch:
    return Touch(op, ns, actor(pid), 1)


def used(**facts: Any) -> Connection:
    """Read by this process before the exec, unless ``facts`` say otherwise."""
    usual: dict[str, Any] = {"birth_ns": BORN_NS, "opened": None, "last": call(CALLED_NS)}
    return connection(**{**usual, **facts})


def told(c: Connection, own: socket.socket, exec_ns: Optional[int] = EXEC_NS) -> Holder:
    """What is told of this process as a holder."""

    def last_exec(pid: int) -> Optional[LastExec]:
        assert pid == ME
        return None if exec_ns is None else LastExec(exec_ns, 1)

    (holder,) = Execs(last_exec).told(c, (Holder(ME, own.fileno(), "test"),))
    assert (holder.pid, holder.fd, holder.comm) == (ME, own.fileno(), "test")
    return holder


def test_exec_after_the_last_call(own: socket.socket) -> None:
    """With the time, and the flag as it is now."""
    holder = told(used(), own)
    assert (holder.exec_ns, holder.close_on_exec) == (EXEC_NS, False)
    os.set_inheritable(own.fileno(), False)
    assert told(used(), own).close_on_exec is True


@pytest.mark.parametrize(
    "exec_ns",
    [None, 0, BORN_NS - 1, CALLED_NS],
    ids=["not recorded", "none", "before the socket", "before the call"],
)
def test_no_exec_since(own: socket.socket, exec_ns: Optional[int]) -> None:
    """Execs are not recorded, there was none, or it was before the socket, or before the call."""
    assert told(used(), own, exec_ns).exec_ns is None


@pytest.mark.parametrize("which", ["opened", "last", "eof", "sent", "shutdown"])
def test_a_call_since_the_exec(own: socket.socket, which: str) -> None:
    """The new program knows of it."""
    assert told(used(**{which: call(LATER_NS)}), own).exec_ns is None


def test_a_number_that_another_process_had(own: socket.socket) -> None:
    """The call, or the exec, is older than this process."""
    before = BEGAN_NS - 1_000_000_000
    assert told(used(birth_ns=before, last=call(before + 1)), own).exec_ns is None
    assert told(used(birth_ns=before, last=call(before + 1, pid=1)), own, before + 2).exec_ns is None


def test_a_copy_of_what_another_process_uses(own: socket.socket) -> None:
    """Without the flag it can have been inherited before the exec; with it the flag would have closed it."""
    others = used(last=call(LATER_NS, pid=1))
    assert told(others, own).exec_ns == EXEC_NS
    os.set_inheritable(own.fileno(), False)
    assert told(others, own).exec_ns is None


def test_a_socket_that_is_only_listed(own: socket.socket) -> None:
    """It was there when FIN had come at the latest."""
    listed = changed(used(last=None), sk=0, birth_ns=77)
    assert told(changed(listed, fin_before_ns=None), own).exec_ns is None
    assert told(changed(listed, fin_before_ns=LATER_NS), own).exec_ns is None
    assert told(changed(listed, fin_before_ns=CALLED_NS), own).exec_ns == EXEC_NS


def test_a_process_is_asked_for_once(own: socket.socket) -> None:
    """However many sockets it has."""
    asked = []

    def last_exec(pid: int) -> LastExec:
        asked.append(pid)
        return LastExec(EXEC_NS, 1)

    execs, holders = Execs(last_exec), (Holder(ME, own.fileno(), "test"),)
    for _ in range(3):
        assert execs.told(used(), holders)[0].exec_ns == EXEC_NS
    assert asked == [ME]


def test_where_execs_are_not_recorded(own: socket.socket) -> None:
    """Nothing new is told."""
    holders = (Holder(ME, own.fileno(), "test"),)
    assert Execs(unknown).told(used(), holders) is holders
