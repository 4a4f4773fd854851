"""Oracle: which code path of net/ipv4 makes each transition, as RFC 9293 section 3.3.2 draws it."""

from __future__ import annotations

from typing import Optional

import pytest

from tracer.model.origin import origin
from tracer.model.states import Origin, TcpState

S = TcpState


@pytest.mark.parametrize(
    ("old", "new"),
    [(S.CLOSE, S.SYN_SENT), (S.CLOSE, S.LISTEN), (S.ESTABLISHED, S.FIN_WAIT1), (S.CLOSE_WAIT, S.LAST_ACK)],
)
@pytest.mark.parametrize("owned", [True, False])
def test_a_call_of_the_program_is_local(old: TcpState, new: TcpState, owned: bool) -> None:
    """States that only connect, listen, shutdown or close lead to are local."""
    assert origin(old, new, owned, None, False) is Origin.LOCAL


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (S.LISTEN, S.SYN_RECV),
        (S.SYN_SENT, S.ESTABLISHED),
        (S.SYN_RECV, S.ESTABLISHED),
        (S.ESTABLISHED, S.CLOSE_WAIT),
        (S.FIN_WAIT1, S.FIN_WAIT2),
        (S.FIN_WAIT1, S.CLOSING),
        (S.FIN_WAIT2, S.TIME_WAIT),
    ],
)
@pytest.mark.parametrize("owned", [True, False])
def test_a_segment_of_the_peer_is_peer_even_from_the_backlog(old: TcpState, new: TcpState, owned: bool) -> None:
    """A segment that waited in the backlog is the peer's although a local process holds the lock."""
    assert origin(old, new, owned, None, False) is Origin.PEER


@pytest.mark.parametrize("old", [S.ESTABLISHED, S.CLOSE_WAIT, S.SYN_SENT, S.FIN_WAIT2, S.LAST_ACK])
@pytest.mark.parametrize("owned", [True, False])
def test_rst_from_the_peer(old: TcpState, owned: bool) -> None:
    """An RST that came is the peer's doing whoever held the lock."""
    assert origin(old, S.CLOSE, owned, Origin.PEER, False) is Origin.PEER


@pytest.mark.parametrize(
    ("old", "owned", "reset", "closing", "expected"),
    [
        (S.LAST_ACK, False, None, True, Origin.PEER),  # the ACK of our FIN
        (S.LAST_ACK, True, None, True, Origin.PEER),  # the same, from the backlog inside close(2)
        (S.LAST_ACK, True, Origin.LOCAL, True, Origin.LOCAL),  # shutdown, then close with data unread
        (S.CLOSING, False, None, True, Origin.PEER),
        (S.FIN_WAIT2, False, None, True, Origin.PEER),  # the peer's FIN
        (S.FIN_WAIT2, True, None, False, Origin.PEER),  # the same, from the backlog of a recv
        (S.FIN_WAIT2, True, None, True, Origin.LOCAL),  # tcp_close goes on as a timewait socket
        (S.FIN_WAIT2, False, Origin.LOCAL, True, Origin.TIMER),  # tcp_fin_timeout ran out
        (S.ESTABLISHED, True, None, True, Origin.LOCAL),  # SO_LINGER 0 or data unread
        (S.CLOSE_WAIT, True, Origin.LOCAL, False, Origin.LOCAL),  # connect(AF_UNSPEC)
        (S.SYN_SENT, True, None, True, Origin.LOCAL),  # close of a connecting socket
        (S.LISTEN, False, None, False, Origin.LOCAL),
        (S.ESTABLISHED, False, None, False, Origin.TIMER),  # retransmissions gave up
        (S.CLOSE_WAIT, False, Origin.LOCAL, False, Origin.TIMER),  # keepalive sends RST, then gives up
        (S.SYN_SENT, False, None, False, Origin.UNKNOWN),  # retries or ICMP
    ],
)
def test_ways_to_close(old: TcpState, owned: bool, reset: Optional[Origin], closing: bool, expected: Origin) -> None:
    """Each way into CLOSE has the origin of the code path that makes it."""
    assert origin(old, S.CLOSE, owned, reset, closing) is expected
