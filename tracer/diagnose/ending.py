"""How a socket that had lingered came to its end, in words."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.model.connection import Connection
from tracer.model.states import Origin, TcpState


def exited_with_it(connection: Connection) -> bool:
    """Whether nobody ever closed the socket: the kernel did, when its last holder ended."""
    return connection.closed is not None and connection.closed.exiting


def ender(connection: Connection) -> str:
    """Who ended it, in a few words."""
    if exited_with_it(connection):
        return "closed by the end of its process"
    if connection.closed is not None:
        return "closed by the program"
    return "reset by the peer" if connection.reset_by is Origin.PEER else "gone (no close was seen)"


def outcome(connection: Connection) -> str:
    """What became of the connection, as the end of a clause after who ended it; empty if not known."""
    closed, reset_ns = connection.closed, connection.reset_ns
    if connection.reset_by is Origin.PEER:
        if closed is None:
            return ""  # that is how it ended
        before = reset_ns is not None and reset_ns < closed.ns
        return ", reset by the peer before that" if before else ", answered by RST"
    if connection.reset_by is Origin.LOCAL:
        return ", with RST to the peer (data was left unread, or SO_LINGER 0)"
    orderly = any(t.old is TcpState.LAST_ACK and t.new is TcpState.CLOSE for t in connection.transitions)
    return ", answered in order" if orderly else ""


def tell_ending(connection: Connection, lingered_ns: int) -> str:
    """One clause: who ended it and how the peer took it."""
    after = words.duration(lingered_ns)
    if connection.closed is not None:
        return f"{words.let_go(connection.closed)} after {after}{outcome(connection)}"
    if connection.reset_by is Origin.PEER:
        return f"reset by the peer after {after}"
    return f"gone after {after}, without a close that could be seen"
