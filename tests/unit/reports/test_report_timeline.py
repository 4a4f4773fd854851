"""Oracle: the order in which things happened to a socket, and who did them."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import CONNECTED, NOW, OFFSET, START, S, accepted, actor, connection, life, touch
from tests.unit.cases import ANYTHING, HOSTILE, OLD
from tracer.model.connection import Actor, Connection, Endpoint, KernelCounters
from tracer.model.states import Op, Origin, TcpState
from tracer.reports.events import events
from tracer.reports.text import timeline

T = TcpState


def block(c: Connection, width: int = 100) -> list[str]:
    return timeline.render(c, OFFSET, width=width, color=False).splitlines()


def test_life_of_a_pooled_socket() -> None:
    """Connect, data, FIN from the peer and how it stands now, with seconds since the connect."""
    header, *lines = block(connection())
    assert "127.0.0.1:40001 -> 127.0.0.1:8081, fd 11" in header
    assert "app (pid 100)" in header
    assert [" ".join(line.split()) for line in lines] == [
        "0.000 connect main thread",
        "0.001 ESTABLISHED",
        "0.006 sent 120 B, received 150 B main thread",
        "65.000 FIN from the peer, CLOSE_WAIT",
        "199.000 still CLOSE_WAIT, FIN unread, no thread in a call on it",
    ]


@pytest.mark.parametrize(
    ("facts", "arrow"),
    [
        ({"passive": True}, "<-"),
        ({"passive": False}, "->"),
        ({**OLD, "accepted": False}, "<-"),
        ({**OLD, "kernel": KernelCounters(opened_here=True)}, "->"),
        ({**OLD, "kernel": KernelCounters(opened_here=False)}, "<-"),
        ({**OLD, "kernel": KernelCounters()}, "<->"),
    ],
)
def test_the_arrow_tells_who_opened_it(facts: dict[str, Any], arrow: str) -> None:
    """As recorded, else as the kernel's counters tell: the same as the site's direction."""
    assert f"127.0.0.1:40001 {arrow} 127.0.0.1:8081" in timeline.route(connection(**facts))


def test_header_has_the_local_time_of_its_start() -> None:
    """The header's clock is that of the host's zone."""
    began = datetime.fromtimestamp(START // S + OFFSET // S + 1, timezone.utc).astimezone()
    assert block(connection())[0].startswith(f"{began:%H:%M:%S}  ")


def closed_socket(**more: Any) -> Connection:
    steps = (
        *CONNECTED,
        (66.0, T.ESTABLISHED, T.CLOSE_WAIT, Origin.PEER),
        (150.0, T.CLOSE_WAIT, T.LAST_ACK, Origin.LOCAL),
        (150.1, T.LAST_ACK, T.CLOSE, Origin.PEER),
    )
    facts: dict[str, Any] = {
        "state": T.CLOSE,
        "transitions": life(*steps),
        "closed": touch(Op.CLOSE, 150.0, 0, syscall=3),
        "ended_ns": START + round(150.1 * S),
        "holders": (),
        "rx_queue": None,
    }
    return connection(**{**facts, **more})


def test_orderly_close() -> None:
    """Who closed it and with which call, our FIN and the peer's last word are told in order."""
    text = "\n".join(block(closed_socket()))
    told = ("connect", "FIN from the peer", "closed by worker (pid 100)", "FIN sent, LAST_ACK", "the socket is gone")
    places = [text.index(word) for word in told]
    assert places == sorted(places)


def test_close_comes_before_what_it_does() -> None:
    """A close that was recorded at its end still stands before the transitions that it made."""
    by = actor()
    steps = closed_socket().transitions
    made = tuple(dataclasses.replace(t, actor=by) if t.new is T.LAST_ACK else t for t in steps)
    late = touch(Op.CLOSE, 150.02, 0, actor=by, syscall=3)
    names = [e.name for e in events(closed_socket(transitions=made, closed=late))]
    assert names.index("close") < names.index("LAST_ACK")
    much_later = touch(Op.CLOSE, 160.0, 0, actor=by, syscall=3)
    names = [e.name for e in events(closed_socket(transitions=made, closed=much_later, ended_ns=START + 160 * S))]
    assert names.index("LAST_ACK") < names.index("close")


def test_close_comes_after_what_another_call_did() -> None:
    """A connection as short as one call: its close does not go before the connect that the same thread made."""
    by = actor()
    quick = life((1.0, T.CLOSE, T.SYN_SENT, Origin.LOCAL), (1.001, T.SYN_SENT, T.ESTABLISHED, Origin.PEER))
    made = tuple(dataclasses.replace(t, actor=by) for t in quick)
    closed = touch(Op.CLOSE, 1.01, 0, actor=by, syscall=3)
    names = [e.name for e in events(closed_socket(transitions=made, closed=closed, fin_ns=None, last=None))]
    assert names.index("ESTABLISHED") < names.index("close")


def test_who_closes_first_leaves_time_wait() -> None:
    """Closed from here first: the kernel keeps FIN_WAIT2 and TIME_WAIT, which is not the peer's doing."""
    first = ((2.0, T.ESTABLISHED, T.FIN_WAIT1, Origin.LOCAL), (2.1, T.FIN_WAIT1, T.FIN_WAIT2, Origin.PEER))
    steps = life(*first, (2.2, T.FIN_WAIT2, T.CLOSE, Origin.PEER))
    text = "\n".join(block(closed_socket(transitions=steps, fin_ns=None, closed=touch(Op.CLOSE, 2.0, 0, syscall=3))))
    assert "CLOSE (left to the kernel: FIN_WAIT2, then TIME_WAIT)" in text


def test_closed_socket_is_not_still_there() -> None:
    """After the last close nothing stands still any more, whether its end was stamped or not."""
    assert block(closed_socket(ended_ns=None))[-1].endswith("the socket is gone")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"closed": touch(Op.CLOSE, 150.0, 0, syscall=231)}, "closed by the exit of worker"),
        ({"reset_ns": START + 150 * S, "reset_by": Origin.PEER}, "RST from the peer"),
        ({"reset_ns": START + 150 * S, "reset_by": Origin.LOCAL}, "RST sent by this host"),
        ({"shutdown": touch(Op.SHUTDOWN, 100.0, 0, actor=actor(100, 103, "io"))}, "shutdown  io (tid 103)"),
        ({"eof": touch(Op.RECV, 67.0, 0), "eof_reads": 3}, "recv returned 0: end seen (3 times)"),
        ({"transitions_dropped": 2}, "2 more transitions not kept"),
        ({"opened_late": True, "opened": touch(Op.RECV, 1.006, 9)}, "first call seen: recv of 9 bytes"),
        ({"preexisting": True}, "older than the trace"),
        ({"preexisting": True, "crowded_out": True}, "no record was free when it began, or older than the trace"),
        ({"last": touch(Op.RECV, 60.0, -11)}, "recv that found nothing yet (EAGAIN)"),
    ],
)
def test_what_else_happened(facts: dict[str, Any], words: str) -> None:
    """Each further fact has its line."""
    assert re.search(re.escape(words).replace(r"\ \ ", r"\s+"), "\n".join(block(closed_socket(**facts))))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"tx_calls": 2}, r"sent 120 B \(last of 2 calls\)"),
        ({"tx_calls": 2, "last": touch(Op.SEND, 60.0, -32)}, r"sent 120 B$"),
        ({"tx_calls": 3, "last": touch(Op.SEND, 60.0, -32)}, r"sent 120 B \(3 calls\)"),
        (
            {"tx_calls": 2, "last": touch(Op.SEND, 60.0, 20), "last_tx_ns": START + 60 * S},
            r"sent 120 B \(last of 2 calls\)",
        ),
        ({"rx_calls": 2, "last": touch(Op.RECV, 60.0, -11)}, r"received 150 B$"),
        ({"rx_calls": 4, "eof": touch(Op.RECV, 67.0, 0), "eof_reads": 2}, r"received 150 B \(last of 2 calls\)"),
        ({"rx_calls": 2, "tx_calls": 1, "last": touch(Op.SEND, 60.0, -32)}, r"received 150 B \(last of 2 calls\)"),
    ],
)
def test_the_last_call_that_moved_data(facts: dict[str, Any], words: str) -> None:
    """Calls with a line of their own, for they failed or read the end, are not counted with those that moved data."""
    lines = [line.split("  worker")[0].rstrip() for line in block(connection(**facts), width=200)]
    apart = [part for line in lines for part in re.split(r" {2,}|, (?=received)", line)]
    assert any(re.search(words, part) for part in apart), lines


def test_accepted_socket_points_the_other_way() -> None:
    """An accepted connection came from the remote side."""
    assert "10.0.0.5:8080 <- 10.0.0.9:50001" in block(accepted())[0]


def test_timer_is_not_the_peer() -> None:
    """A keepalive that gave up is told as what it is."""
    gone = life(*CONNECTED, (90.0, T.ESTABLISHED, T.CLOSE, Origin.TIMER))
    assert any("a timer gave up" in line for line in block(connection(fin=None, state=T.CLOSE, transitions=gone)))


def test_addresses_are_never_cut() -> None:
    """The header keeps its addresses at any width."""
    far = Endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 65535)
    assert f"{far} -> {far}" in block(connection(local=far, remote=far), width=40)[0]


def test_hostile_names() -> None:
    """Nothing of a thread's name is sent raw."""
    by = Actor(100, 107, HOSTILE)
    c = connection(last=touch(Op.RECV, 60, 9, actor=by), opened=touch(Op.CONNECT, 1, 0, actor=by), holders=())
    assert all(line.isprintable() for line in block(c))


def test_missing_opener_starts_with_the_first_event() -> None:
    """The zero of the timeline is the first thing known."""
    c = connection(opened=None, last=None, transitions=(), last_rx_ns=None, last_tx_ns=None, fin=None, preexisting=True)
    assert [e.name for e in events(c)] == ["now"]
    assert block(c)[-1].split()[0] == "0.000"


@given(ANYTHING, st.integers(40, 200))
def test_any_connection_has_an_ordered_timeline(facts: dict[str, Any], width: int) -> None:
    """Whatever is known, events are in order, end with the present, and their lines fit."""
    c = connection(**facts)
    times = [e.ns for e in events(c)]
    assert times == sorted(times)
    assert events(c)[-1].name == "now"
    assert times[-1] >= NOW
    assert all(len(line) <= width for line in block(c, width)[1:] if "transition" not in line and "older" not in line)
