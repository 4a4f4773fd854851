"""TCP states, the calls that touch a socket, and who caused a transition."""

from __future__ import annotations

import enum


class TcpState(enum.IntEnum):
    """The kernel's numbering (include/net/tcp_states.h), which is also what sock_diag and ``/proc/net/tcp`` use."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


class Op(enum.IntEnum):
    """The calls on a socket that count as a touch. The values are those of ``enum ct_op`` in bpf/record.h."""

    NONE = 0
    CONNECT = 1
    ACCEPT = 2
    RECV = 3
    SEND = 4
    SHUTDOWN = 5
    CLOSE = 6

    label: str
    """The lower-case name that reports print: ``recv``."""

    def __init__(self, _value: int) -> None:
        self.label = self._name_.lower()


class Origin(str, enum.Enum):
    """Who caused a state transition."""

    LOCAL = "local"
    PEER = "peer"
    TIMER = "timer"
    UNKNOWN = "unknown"


CLOSE, CLOSE_WAIT, ESTABLISHED = TcpState.CLOSE, TcpState.CLOSE_WAIT, TcpState.ESTABLISHED
RECV, SEND = Op.RECV, Op.SEND
LOCAL, PEER = Origin.LOCAL, Origin.PEER
"""Members by themselves. To take one from its class takes 60 ns (Python up to 3.11), and a report asks for some fifty
of each socket.
"""
