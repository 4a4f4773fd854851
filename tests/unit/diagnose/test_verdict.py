"""Oracle: the table of verdicts and evidence in docs/verdicts.md, and what Recv-Q means in CLOSE_WAIT (tcp(7), ss)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given

from tests.unit.builders import NOW, START, S, accepted, connection, frame, life, touch
from tests.unit.cases import (
    ANYTHING,
    EOF_READ,
    FAREWELL,
    GOODBYE,
    INSIDE,
    KEPT,
    NEVER_READ,
    NOT_RELEASED,
    OLD,
    OTHER,
    PAUSED,
    SENDING,
    STALLED,
    UNREAD,
    WATCHED,
    WITH_DATA,
)
from tracer.diagnose.verdict import RULES, judge
from tracer.model.connection import Connection, Endpoint, Holder, Interest, KernelCounters
from tracer.model.finding import Verdict
from tracer.model.frame import Stack
from tracer.model.states import Op, Origin, TcpState

KEPT_BY_OTHER = (Holder(555, 7, "child", exec_ns=START + 110 * S, close_on_exec=False),)


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
        (connection(rx_queue=0), Verdict.END_TAKEN),  # it is out of the queue; whether a read returned 0 was not seen
        (connection(**WITH_DATA), Verdict.END_TAKEN),  # one read took data and end
        (accepted(**WITH_DATA), Verdict.END_TAKEN),
        (connection(eof_reads=1, rx_queue=501), Verdict.UNREAD_DATA),  # recv(fd, buffer, 0) returns 0 at any time
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
        (connection(**{**OLD, "rx_queue": 0}), Verdict.END_TAKEN),
        (connection(**NEVER_READ), Verdict.NEVER_READ),
        (accepted(**NEVER_READ), Verdict.NEVER_READ),
        (accepted(**{**OLD, "rx_bytes": 0, "rx_queue": 20, "kernel": KernelCounters(20)}), Verdict.NEVER_READ),
        (accepted(**{**OLD, "rx_bytes": 0, "rx_queue": 20, "kernel": KernelCounters(30)}), Verdict.UNREAD_DATA),
        (accepted(**{**OLD, "rx_bytes": 0, "rx_queue": 20}), Verdict.UNREAD_DATA),  # who knows what was read before
        (connection(**PAUSED), Verdict.READING_PAUSED),
        (connection(**{**PAUSED, "interests": (Interest(100, 5, 11, 0x4),)}), Verdict.READING_PAUSED),  # EPOLLOUT alone
        (connection(**{**PAUSED, "interests": WATCHED}), Verdict.UNREAD_DATA),
        (connection(interests=()), Verdict.IDLE_IN_POOL),  # nothing to read but the end
        (connection(**STALLED), Verdict.SEND_STALLED),
        (accepted(**STALLED), Verdict.SEND_STALLED),
        (connection(**{**STALLED, **OLD}), Verdict.SEND_STALLED),  # the kernel's counters suffice
        (connection(**NOT_RELEASED), Verdict.NOT_RELEASED),
        (connection(never_reused=True), Verdict.IDLE_IN_POOL),  # no library is known that would have reused it
        (connection(**{**NOT_RELEASED, "never_reused": False}), Verdict.IDLE_IN_POOL),
        (connection(**GOODBYE), Verdict.IDLE_IN_POOL),
        (connection(**{**OLD, "rx_queue": 20}), Verdict.UNREAD_DATA),
        (connection(**{**OLD, "passive": False}), Verdict.IDLE_IN_POOL),
    ],
)
def test_verdict_of_plain_cases(socket: Connection, expected: Verdict) -> None:
    """Each row of the table, from facts that allow no other reading."""
    assert verdict(socket) is expected


def test_the_document_has_the_same_order() -> None:
    """docs/verdicts.md lists the rules as they are tried; what none of them holds for is unknown."""
    text = (Path(__file__).parents[3] / "docs/verdicts.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \d+ \| `([\w-]+)` \|", text, re.MULTILINE)
    assert table == [verdict.value for verdict, _ in RULES] + ["unknown"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"accepted": False, "state": TcpState.CLOSE, "holders": ()}, Verdict.NEVER_ACCEPTED),
        ({"state": TcpState.CLOSE, "holders": OTHER, "reset_by": Origin.PEER}, Verdict.HELD_ELSEWHERE),
        ({"blocked": INSIDE, **STALLED}, Verdict.BLOCKED_IN_CALL),
        ({"holders": OTHER, **STALLED}, Verdict.HELD_ELSEWHERE),
        ({**STALLED, **SENDING, "kernel": STALLED["kernel"]}, Verdict.SEND_STALLED),
        ({**STALLED, "eof_reads": 1}, Verdict.SEND_STALLED),
        ({**PAUSED, **NEVER_READ}, Verdict.NEVER_READ),
        ({**PAUSED, **GOODBYE}, Verdict.IDLE_IN_POOL),
        ({**PAUSED, **SENDING}, Verdict.HALF_CLOSED_IN_USE),
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


@pytest.mark.parametrize(
    "facts",
    [
        {"kernel": KernelCounters(192, last_data_in_ns=START + 60 * S)},  # six seconds before FIN: an answer
        {"kernel": KernelCounters(192, last_data_in_ns=START + S)},  # no silence before it
        {"rx_queue": 1500, "rx_queue_at_fin": 1499},  # longer than a line
        {"rx_queue_at_fin": 100},  # some of it was read after FIN
        {"passive": True},  # a server's connection is no pooled one
        {"kernel": None},  # when it came is not known
        {"unseen": ("receive", "send")},  # nor when the last call was, nor by the kernel when data went last
    ],
)
def test_not_every_small_rest_is_a_goodbye(facts: dict[str, Any]) -> None:
    """A goodbye is short, comes right before FIN, after silence, into a connection that had been read."""
    assert verdict(connection(**{**GOODBYE, **facts})) is Verdict.UNREAD_DATA


def test_goodbye_to_a_connection_that_was_never_used() -> None:
    """Nothing was asked, so what came with FIN is no answer that somebody should have read, also once it is gone."""
    assert verdict(connection(**FAREWELL)) is Verdict.IDLE_IN_POOL
    assert verdict(connection(**{**FAREWELL, "kernel": None, "rx_queue": None})) is Verdict.IDLE_IN_POOL
    older = {**OLD, "rx_queue": 42, "rx_bytes": 0, "tx_bytes": 0, "rx_calls": 0, "tx_calls": 0}
    times = KernelCounters(42, 1, START - 60 * S, START - 90 * S, START - 60 * S, opened_here=True)
    assert verdict(connection(**older, kernel=times)) is Verdict.IDLE_IN_POOL


SLOWLY_MADE = (
    (1.0, TcpState.CLOSE, TcpState.SYN_SENT, Origin.LOCAL),
    (65.5, TcpState.SYN_SENT, TcpState.ESTABLISHED, Origin.PEER),
    (66.0, TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, Origin.PEER),
)


@pytest.mark.parametrize(
    "facts",
    [
        {"kernel": dataclasses.replace(FAREWELL["kernel"], bytes_acked=200)},  # a request, sent by a call nobody saw
        {"tx_bytes": 120, "tx_calls": 1},
        {"rx_calls": 1, "last": touch(Op.RECV, 1.5, -11)},  # a reader that waited, and gave up
        {"kernel": dataclasses.replace(FAREWELL["kernel"], last_data_in_ns=START + 3 * S)},  # a greeting
        {"transitions": life(*SLOWLY_MADE)},  # refused at once, after a connect that took long
        {"rx_queue": 5001, "rx_queue_at_fin": 5000, "kernel": None},
        {"passive": True},
    ],
)
def test_never_read_is_no_goodbye(facts: dict[str, Any]) -> None:
    """Where something was asked, or came at once, or a reader waited for it, it was data to read."""
    assert verdict(connection(**{**FAREWELL, **facts})) is Verdict.NEVER_READ


def test_goodbye_has_its_times() -> None:
    """Evidence of a goodbye: how much, how long before FIN, after what silence."""
    text = " ".join(judge(connection(**GOODBYE), NOW, START).evidence)
    assert "41 bytes lie unread, the last came 0.1 ms before FIN, 65.0 s after the last call: most likely" in text


def test_goodbye_of_an_older_connection() -> None:
    """Of a socket older than the trace the kernel's times tell: data out, silence, a few bytes in, FIN with them."""
    times = KernelCounters(192, 121, START - 60 * S, START - 90 * S, START - 60 * S)
    old = {**OLD, "rx_queue": 42, "rx_bytes": 0}
    assert verdict(connection(**old, kernel=times)) is Verdict.IDLE_IN_POOL
    late = dataclasses.replace(times, last_ack_in_ns=START - 30 * S)
    assert verdict(connection(**old, kernel=late)) is Verdict.UNREAD_DATA


@pytest.mark.parametrize(
    ("kernel", "stalled"),
    [
        (KernelCounters(unacked=0, last_data_out_ns=NOW - 5 * S, last_ack_in_ns=NOW), True),  # probes are answered
        (KernelCounters(unacked=0, last_data_out_ns=NOW - S // 2), False),  # it has just taken some
        (KernelCounters(unacked=3, last_data_out_ns=NOW, last_ack_in_ns=NOW - 5 * S), True),  # sent again, no answer
        (KernelCounters(unacked=3, last_data_out_ns=NOW, last_ack_in_ns=NOW - S // 2), False),
        (KernelCounters(unacked=3, last_ack_in_ns=NOW, peer_window=0, backed_off_ns=9 * S), True),
        (KernelCounters(unacked=3, last_ack_in_ns=NOW, peer_window=9000, backed_off_ns=9 * S), False),
        (KernelCounters(unacked=3, last_ack_in_ns=NOW, peer_window=0), False),  # full just now: it reads slowly
        (KernelCounters(), False),
    ],
)
def test_a_send_queue_that_does_not_move(kernel: KernelCounters, stalled: bool) -> None:
    """The peer takes nothing: nothing in flight since data went last, or nothing of what is in flight acknowledged."""
    found = verdict(connection(tx_queue=5000, kernel=kernel))
    assert found is (Verdict.SEND_STALLED if stalled else Verdict.IDLE_IN_POOL)


def test_the_reads_that_took_the_end() -> None:
    """What one read took is told with its result; what was before the trace is told as either."""
    assert "were taken by one read, which returned 6: no read returned 0." in evidence(connection(**WITH_DATA))
    sent_since = {**WITH_DATA, "last": touch(Op.SEND, 68, -32)}
    assert "were taken by one read: no read returned 0." in evidence(connection(**sent_since))
    assert "or one took it together with the last data; that was before the trace" in evidence(
        connection(**{**OLD, "rx_queue": 0})
    )
    spliced = {**WITH_DATA, "kernel": KernelCounters(bytes_received=166)}
    assert "9 bytes were taken from the receive queue by calls that were not seen: splice" in evidence(
        connection(**spliced)
    )


def evidence(c: Connection) -> str:
    return " ".join(judge(c, NOW, START).evidence)


@pytest.mark.parametrize(
    "older",
    [{"preexisting": True}, {"missed_touches": 1}, {"unseen": ("receive",)}, {"transitions": ()}],  # handed over
)
def test_bytes_that_no_hook_shows(older: dict[str, Any]) -> None:
    """The kernel's count against what was seen; not where calls may be missing for another reason."""
    facts: dict[str, Any] = {
        "kernel": KernelCounters(bytes_received=160)
    }  # with the FIN: 9 bytes more than the 150 that were read
    assert "9 bytes were taken" in evidence(connection(**facts))
    assert "were taken" not in evidence(connection(**facts, **older))
    assert "were taken" not in evidence(connection(kernel=KernelCounters(bytes_received=151)))


def test_epoll_sets_are_told() -> None:
    """Which set asks for what, or that none does."""
    assert "The epoll set fd 5 of pid 100 watches it for EPOLLIN." in evidence(
        connection(**UNREAD, interests=(Interest(100, 5, 11, 0x19),))
    )
    assert "It is in no epoll set, although its holder uses epoll" in evidence(connection(interests=()))


def test_what_the_kernel_knows_of_older_sockets() -> None:
    """Where it was accepted, how much came and went, and how long ago."""
    counters = KernelCounters(7, 3, START - 3600 * S, START - 1800 * S)
    listener = Holder(100, 3, "app")
    text = evidence(accepted(**{**OLD, "passive": True, "kernel": counters, "listener": listener}))
    assert "It was accepted on 10.0.0.5:8080, where app (pid 100, fd 3) listens." in text
    assert "6 bytes came in all, the last 1h 03m ago; all were read." in text
    assert "3 bytes were sent and acknowledged, the last 33m 20s ago." in text
    silent = evidence(connection(**{**OLD, "passive": False, "kernel": KernelCounters(1, 1, START, START)}))
    assert "The peer has never sent any data." in silent
    assert "were sent" not in silent  # the SYN alone was acknowledged


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


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Verdict.HELD_ELSEWHERE),
        (EOF_READ, Verdict.HELD_ELSEWHERE),
        (UNREAD, Verdict.HELD_ELSEWHERE),
        (OLD, Verdict.HELD_ELSEWHERE),  # nobody is known to have used it, and the only holder has called exec
        ({"state": TcpState.CLOSE, "reset_by": Origin.PEER}, Verdict.HELD_ELSEWHERE),
        ({"blocked": INSIDE}, Verdict.BLOCKED_IN_CALL),  # the new program is in a call on it
        ({"holders": (*KEPT, *OTHER)}, Verdict.HELD_ELSEWHERE),
        ({**OLD, "holders": (*KEPT, *OTHER)}, Verdict.UNKNOWN),  # the other one may be who used it
        ({"holders": (Holder(100, 3, "app"), *KEPT_BY_OTHER)}, Verdict.IDLE_IN_POOL),  # the user has not called exec
    ],
)
def test_exec_since_the_last_call(facts: dict[str, Any], expected: Verdict) -> None:
    """What the old program knew of it is gone: no reading of a pool or a loop holds."""
    assert verdict(connection(**{"holders": KEPT, **facts})) is expected


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (False, "fd 11 has no close-on-exec (FD_CLOEXEC), so exec kept it."),
        (True, "fd 11 has close-on-exec (FD_CLOEXEC) now: it was set after that exec, or the descriptor came later."),
        (None, ""),
    ],
)
def test_evidence_of_an_exec(flag: Optional[bool], said: str) -> None:
    """The last call, the exec after it, who has it now, the flag."""
    kept = tuple(dataclasses.replace(holder, close_on_exec=flag) for holder in KEPT)
    evidence = judge(connection(**EOF_READ, holders=kept), NOW, START).evidence
    assert evidence[:2] == (
        "Last call: recv that returned 0, 2m 14s ago by worker (pid 100).",
        "Process 100 called exec 1m 40s ago, after that: new is its program now, and has fd 11.",
    )
    assert evidence[2:] == ((said,) if said else ())


def test_evidence_of_an_exec_of_a_socket_that_nobody_is_known_to_have_used() -> None:
    """And of one that others hold, too, after an end that was read before the last call."""
    (_, exec_, *_) = judge(connection(**OLD, holders=KEPT), NOW, START).evidence
    assert exec_ == (
        "Process 100 called exec 1m 40s ago, while the socket was open: new is its program now, and has fd 11."
    )
    read: dict[str, Any] = {"eof": touch(Op.RECV, 66.5, 0), "eof_reads": 1, "last": touch(Op.SEND, 67, 5)}
    evidence = judge(connection(**read, holders=(*KEPT, *OTHER)), NOW, START).evidence
    assert "The end was read: recv that returned 0, 2m 14s ago by worker (pid 100)." in evidence
    assert "It is also held by child (pid 555, fd 7)." in evidence


def test_evidence_of_an_exec_in_another_process() -> None:
    """It has a copy, and the user has none."""
    evidence = judge(connection(holders=KEPT_BY_OTHER), NOW, START).evidence
    assert "child (pid 555) called exec 1m 30s ago, while it was open, and its fd 7 has no close-on-exec" in evidence[2]


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
        Verdict.HELD_ELSEWHERE: bool(c.holders) and (c.owner is not None or c.holders == KEPT),
        Verdict.EOF_IGNORED: c.eof is not None or c.eof_reads > 0,
        Verdict.END_TAKEN: c.rx_queue == 0,
        Verdict.IDLE_IN_POOL: c.passive is False or (c.passive is None and c.preexisting),
        Verdict.NOT_RELEASED: c.never_reused is True,
        Verdict.LOST: c.lineage is not None,
        Verdict.NEVER_READ: c.rx_bytes == 0,
        Verdict.READING_PAUSED: c.interests is not None,
        Verdict.SEND_STALLED: bool(c.tx_queue) and c.kernel is not None,
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


def test_what_found_no_record_is_not_as_old_as_the_trace() -> None:
    """It was in CLOSE_WAIT when its record began; since when is not known, and it may be newer than the trace."""
    older = connection(**{**OLD, "birth_ns": START + 500 * S})
    newer = judge(dataclasses.replace(older, crowded_out=True), NOW, START)
    assert judge(older, NOW, START).since_ns == START
    assert newer.since_ns == START + 500 * S
    assert not any("before the trace" in fact or "since the trace" in fact for fact in newer.evidence)
