"""Plain readings of a connection that several judgements share."""

from __future__ import annotations

from typing import Optional

from tracer.model.connection import Connection, Touch
from tracer.model.states import Op, TcpState


def after_fin(c: Connection, ns: Optional[int]) -> bool:
    """Whether ``ns`` lies after FIN; for a socket already in CLOSE_WAIT at the start everything seen does."""
    if ns is None:
        return False
    return ns > c.fin_ns if c.fin_ns is not None else c.preexisting and c.state is TcpState.CLOSE_WAIT


def unread_bytes(c: Connection) -> int:
    """Data bytes that lie unread now (FIN, which the queue counts as one until it is read, not included)."""
    if c.rx_queue is not None:
        return max(c.rx_queue - 1, 0) if c.state is TcpState.CLOSE_WAIT else c.rx_queue
    read_since = c.last is not None and c.last.op is Op.RECV and after_fin(c, c.last.ns)
    return 0 if read_since else c.rx_queue_at_fin or 0


def end_seen(c: Connection) -> bool:
    """Whether the program was told that the peer hung up: a recv of 0, or FIN gone from the receive queue."""
    return c.eof is not None or c.eof_reads > 0 or (c.rx_queue == 0 and c.state is TcpState.CLOSE_WAIT)


def last_call(c: Connection) -> Optional[Touch]:
    """The last call that was seen: on data, a shutdown, or the one that opened the socket."""
    made = [touch for touch in (c.last, c.shutdown) if touch is not None]
    return max(made, key=lambda touch: touch.ns) if made else c.opened
