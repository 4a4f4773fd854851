"""Oracle: the table of verdicts and evidence in docs/verdicts.md, and what Recv-Q means in CLOSE_WAIT (tcp(7), ss)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given

from tests.unit.builders import NOW, START, S, accepted, connection, frame, life, touch
from tests.unit.cases import ANYTHING, EOF_READ, INSIDE, OLD, OTHER, SENDING, UNREAD
from tracer.diagnose.verdict import judge
from tracer.model.connection import Connection, Endpoint, Holder
from tracer.model.finding import Verdict
from tracer.model.frame import Stack
from tracer.model.states import Op, Origin, TcpState


def verdict(c: Connection) -> Verdict:
    return judge(c, NOW, START).verdict


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        (connection(), Verdict.IDLE_IN_POOL),
        (connection(last=touch(Op.CONNECT, 1.0, 0)), Verdict.IDLE_IN_POOL),
        (connection(last=None), Verdict.IDLE_IN_POOL),
        (accepted(last=None), Verdict.NOT_READ_SINCE),
        (connection(**EOF_READ), Verdict.EOF_IGNORED),
        (accepted(**EOF_READ), Verdict.EOF_IGNORED),
        (connection(rx_queue=0), Verdict.EOF_IGNORED),  # the read was not seen, the queue tells of it
        (connection(eof=touch(Op.RECV, 67, 0, peek=True), eof_reads=1), Verdict.EOF_IGNORED),
        (connection(**UNREAD), Verdict.UNREAD_DATA),
        (accepted(**UNREAD), Verdict.UNREAD_DATA),
        (connection(rx_queue=None, rx_queue_at_fin=500), Verdict.UNREAD_DATA),
        (accepted(accepted=False, opened=None, last=None, holders=()), Verdict.NEVER_ACCEPTED),
        (connection(holders=OTHER), Verdict.HELD_ELSEWHERE),
        (connection(holders=(*OTHER, Holder(100, 11, "app"))), Verdict.IDLE_IN_POOL),  # the owner holds it too
        (connection(**SENDING), Verdict.HALF_CLOSED_IN_USE),
        (connection(last=touch(Op.SEND, 70, 10), last_tx_ns=START + 70 * S), Verdict.HALF_CLOSED_IN_USE),
        (connection(last=touch(Op.SEND, 190, -11)), Verdict.HALF_CLOSED_IN_USE),  # EAGAIN: it would send
        (connection(last=touch(Op.SEND, 190, -32)), Verdict.NOT_READ_SINCE),  # EPIPE: refused
        (connection(blocked=INSIDE), Verdict.BLOCKED_IN_CALL),
        (connection(state=TcpState.CLOSE, reset_ns=START + 70 * S, reset_by=Origin.PEER), Verdict.RESET_STILL_OPEN),
        (accepted(), Verdict.NOT_READ_SINCE),
        (connection(passive=None), Verdict.NOT_READ_SINCE),
        (connection(last=touch(Op.RECV, 67, 500)), Verdict.NOT_READ_SINCE),  # read after FIN, but not to the end
        (connection(last=touch(Op.SHUTDOWN, 67, 0)), Verdict.NOT_READ_SINCE),
        (connection(**OLD), Verdict.UNKNOWN),
        (connection(**{**OLD, "rx_queue": 0}), Verdict.EOF_IGNORED),
        (connection(**{**OLD, "rx_queue": 20}), Verdict.UNREAD_DATA),
        (connection(**{**OLD, "passive": False}), Verdict.IDLE_IN_POOL),
    ],
)
def test_verdict_of_plain_cases(socket: Connection, expected: Verdict) -> None:
    """Each row of the table, from facts that allow no other reading."""
    assert verdict(socket) is expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"accepted": False, "state": TcpState.CLOSE, "holders": ()}, Verdict.NEVER_ACCEPTED),
        ({"state": TcpState.CLOSE, **EOF_READ}, Verdict.RESET_STILL_OPEN),
        ({"blocked": INSIDE, "holders": OTHER}, Verdict.BLOCKED_IN_CALL),
        ({"blocked": INSIDE, **SENDING}, Verdict.BLOCKED_IN_CALL),
        ({"holders": OTHER, **EOF_READ}, Verdict.HELD_ELSEWHERE),
        ({"holders": OTHER, **UNREAD}, Verdict.HELD_ELSEWHERE),
        ({**EOF_READ, **SENDING}, Verdict.HALF_CLOSED_IN_USE),
        ({**UNREAD, **SENDING}, Verdict.HALF_CLOSED_IN_USE),
        ({**EOF_READ, "last_tx_ns": START + 67 * S}, Verdict.EOF_IGNORED),  # one late answer, long ago
        ({**UNREAD, "last_tx_ns": START + 67 * S}, Verdict.UNREAD_DATA),
    ],
)
def test_precedence(facts: dict[str, Any], expected: Verdict) -> None:
    """Where several rows are true, the one that excludes other readings wins."""
    assert verdict(connection(**facts)) is expected


def tls_socket(**more: Any) -> Connection:
    read = Stack((frame("recv", "libc.so.6"), frame("SSL_read", "libssl.so.3"), frame("call", "app")), True)
    return connection(last=touch(Op.RECV, 1.006, 150, stack=read), rx_queue=32, rx_queue_at_fin=31, **more)


def test_tls_goodbye_is_no_unread_data() -> None:
    """A close notify behind a drained TLS connection is the idle peer's goodbye, not data that a reader left."""
    assert verdict(tls_socket()) is Verdict.IDLE_IN_POOL
    drained = touch(Op.RECV, 1.006, -11)
    assert (
        verdict(dataclasses.replace(tls_socket(remote=Endpoint("10.0.0.1", 443)), last=drained)) is Verdict.IDLE_IN_POOL
    )
    assert verdict(connection(rx_queue=32, rx_queue_at_fin=31)) is Verdict.UNREAD_DATA
    assert verdict(dataclasses.replace(tls_socket(), rx_queue=5001, rx_queue_at_fin=5000)) is Verdict.UNREAD_DATA
    assert verdict(dataclasses.replace(tls_socket(), passive=True)) is Verdict.UNREAD_DATA


def test_evidence_has_the_figures() -> None:
    """Evidence names the silence before FIN, the call, who made it and how long ago."""
    text = " ".join(judge(connection(), NOW, START).evidence)
    for fact in ("65.0 s", "recv of 150 bytes", "worker (pid 100)", "3m 19s ago", "connect"):
        assert fact in text


def test_opener_is_the_last_call_if_nothing_followed() -> None:
    """A socket on which nothing was called after connect has its silence counted from there."""
    text = " ".join(judge(connection(last=None), NOW, START).evidence)
    assert "65.0 s before the peer hung up: connect" in text


def test_evidence_names_the_holder() -> None:
    """Who still holds the descriptor is told with pid and fd."""
    assert any("child (pid 555, fd 7)" in fact for fact in judge(connection(holders=OTHER), NOW, START).evidence)


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        ({}, START + 66 * S),
        ({**OLD}, START),
        ({**OLD, "fin_before_ns": START - 3600 * S}, START - 3600 * S),
        ({**OLD, "fin_before_ns": START + 5 * S}, START),
        ({**OLD, "state": TcpState.CLOSE, "reset_ns": START + 70 * S}, START + 70 * S),
    ],
)
def test_since(facts: dict[str, Any], since: int) -> None:
    """A socket lingers since FIN; an older one since the earliest that can be vouched for; a reset one since RST."""
    assert judge(connection(**facts), NOW, START).since_ns == since


def test_closed_by_a_timer() -> None:
    """A keepalive that gave up is not blamed on the peer."""
    gone = life((70, TcpState.ESTABLISHED, TcpState.CLOSE, Origin.TIMER))
    evidence = judge(connection(fin=None, state=TcpState.CLOSE, transitions=gone), NOW, START).evidence
    assert "A timer" in evidence[0]


@given(ANYTHING)
def test_every_socket_gets_a_verdict_that_its_facts_bear(facts: dict[str, Any]) -> None:
    """Whatever is known or missing, there is a verdict with evidence, and no verdict without its ground."""
    c = connection(**facts)
    finding = judge(c, NOW, START)
    assert finding.evidence
    assert all(fact.endswith(".") for fact in finding.evidence)
    ground = {
        Verdict.NEVER_ACCEPTED: c.accepted is False,
        Verdict.BLOCKED_IN_CALL: bool(c.blocked),
        Verdict.HELD_ELSEWHERE: bool(c.holders) and c.owner is not None,
        Verdict.EOF_IGNORED: c.eof is not None or c.eof_reads > 0 or c.rx_queue == 0,
        Verdict.IDLE_IN_POOL: c.passive is False,
        Verdict.RESET_STILL_OPEN: c.state is TcpState.CLOSE,
        Verdict.NOT_READ_SINCE: c.owner is not None and c.state is TcpState.CLOSE_WAIT,
        Verdict.UNREAD_DATA: bool(c.rx_queue or c.rx_queue_at_fin),
        Verdict.HALF_CLOSED_IN_USE: c.owner is not None or c.last_tx_ns is not None,
    }
    assert ground.get(finding.verdict, True)


GONE: dict[str, Any] = {
    "state": TcpState.CLOSE,
    "closed": touch(Op.CLOSE, 150, 0, syscall=231, exiting=True),
    "ended_ns": START + 150 * S,
    "holders": (),
    "rx_queue": None,
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Verdict.IDLE_IN_POOL),
        (EOF_READ, Verdict.EOF_IGNORED),
        ({"reset_ns": START + 150 * S + 1, "reset_by": Origin.LOCAL}, Verdict.IDLE_IN_POOL),  # RST by the close itself
        ({"reset_ns": START + 90 * S, "reset_by": Origin.PEER}, Verdict.RESET_STILL_OPEN),
    ],
)
def test_closed_meanwhile(facts: dict[str, Any], expected: Verdict) -> None:
    """A socket that its process's end has closed is judged as it stood before, and that it is gone is told."""
    finding = judge(connection(**{**facts, **GONE}), NOW, START)
    assert finding.verdict is expected
    assert any("closed by the exit of worker" in fact for fact in finding.evidence)
    assert not any("No process was found" in fact for fact in finding.evidence)
