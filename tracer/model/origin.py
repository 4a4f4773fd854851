"""Who caused a TCP state transition, derived from what the kernel side saw around it."""

from __future__ import annotations

from typing import Optional

from tracer.model.states import Origin, TcpState

_BY_A_LOCAL_CALL = frozenset({TcpState.SYN_SENT, TcpState.LISTEN, TcpState.FIN_WAIT1, TcpState.LAST_ACK})
_ENDED_BY_THE_PEERS_ACK = frozenset({TcpState.LAST_ACK, TcpState.CLOSING})


def origin(old: TcpState, new: TcpState, owned: bool, reset_seen: Optional[Origin], closing: bool) -> Origin:
    """Who caused ``old -> new`` (transitions as in net/ipv4/tcp.c and tcp_input.c).

    ``owned``: a process held the socket lock (``sk->sk_lock.owned``): a system call, or the backlog that is worked
    off at its end. ``reset_seen``: PEER if tcp_receive_reset fired on the socket just before, LOCAL if tcp_send_reset
    did. ``closing``: tcp_close has begun on the socket, so no descriptor refers to it any more.
    """
    if new is not TcpState.CLOSE:
        return Origin.LOCAL if new in _BY_A_LOCAL_CALL else Origin.PEER
    if reset_seen is Origin.PEER:
        return Origin.PEER
    if old is TcpState.LISTEN:
        return Origin.LOCAL
    if old in _ENDED_BY_THE_PEERS_ACK and reset_seen is None:
        # Also if owned: over loopback the last ACK mostly waits in the backlog while close(2) still holds the lock.
        return Origin.PEER
    if old is TcpState.FIN_WAIT2 and reset_seen is None:
        # tcp_close hands the rest over to a timewait socket; otherwise it was the peer's FIN.
        return Origin.LOCAL if owned and closing else Origin.PEER
    if owned:
        return Origin.LOCAL
    if old is TcpState.SYN_SENT:
        return Origin.UNKNOWN  # the retries ran out, or an ICMP error came: both look the same from here
    return Origin.TIMER
